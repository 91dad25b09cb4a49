"""Draw twenty photographs of a blood smear into the folder `photographs`, for a first try."""

from pathlib import Path

from skimage import io

from segbench.images.smear import smear_image

folder = Path("photographs")
folder.mkdir(exist_ok=True)
for number in range(20):
    io.imsave(folder / f"{number:02}.png", smear_image(number, shape=(256, 384)).pixels)
