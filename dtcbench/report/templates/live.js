"use strict";

// What has changed is put in the place of what was there; the rest stays, with its focus and its scrolling.
async function look() {
  const lost = document.getElementById("lost");
  try {
    const answer = await fetch("state");
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of fresh.querySelectorAll("body > [id]")) {
      const shown = document.getElementById(part.id);
      if (shown.outerHTML !== part.outerHTML) shown.replaceWith(document.adoptNode(part));
    }
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
  if (document.getElementById("head").dataset.state !== "ended") setTimeout(look, 300);
}

look();
