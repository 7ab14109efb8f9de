"""Where a container and the file that it was made from no longer agree, and where a file was edited by hand. Pure."""
