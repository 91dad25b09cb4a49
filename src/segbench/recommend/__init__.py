"""Which backend to use for a folder of images: measured on a sample of them."""
