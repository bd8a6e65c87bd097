"""The leaderboard made visible: terminal, Markdown, CSV, figures and a self-contained HTML page.

Every rendering is a pure function of the leaderboard and its tables: the same input, the same bytes.
"""
