"""The read times that the presentation of 2022 showed."""

SIZES = (1, 20, 50, 200, 500)

# Row as the presentation names it -> the reader it used, and milliseconds for each of `SIZES`.
READ_TABLE = {
    "Dask imread": ("dask-image", (32.516, 146.798, 175.199, 139.793, 158.926)),
    "Dask.array.image (imread = pimread)": (
        "dask-array-pims",
        (38.889, 118.978, 122.171, 122.517, 130.457),
    ),
    "Dask.array.image (imread=skimage.imread)": (
        "dask-array-skimage",
        (30.997, 143.175, 124.876, 123.422, 123.790),
    ),
    "Skimage imread": ("skimage", (0.255, 2.546, 1.583, 2.077, 4.897)),
}
