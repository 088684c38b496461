"""How fast are the journey questions, beside the tools that others use? Run by `make bench`."""
