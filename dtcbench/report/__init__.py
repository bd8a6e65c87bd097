"""The leaderboard made visible: terminal, Markdown, CSV, LaTeX, figures and pages in HTML.

Every rendering is a pure function of the leaderboard and its tables: the same input, the same bytes.
"""
