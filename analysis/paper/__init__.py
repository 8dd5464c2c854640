"""The paper rerun: studies, figures, tables, claims and their page; README.md names the commands."""
