"""How folders of images are laid out: splits, classes, and the files in them."""
