# Your own settings: aliases and variables you want in every terminal.
