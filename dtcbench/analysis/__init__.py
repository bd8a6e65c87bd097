"""From tables to statements: statistics over seeds and the leaderboard. Pure functions on DataFrames."""
