"""Any window of a large image, read without the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from segbench import windows
from segbench.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(0)
WINDOWS = (
    (0, 1, 0, 1),
    (0, 300, 0, 500),
    (10, 290, 31, 33),
    (63, 65, 127, 129),
    (299, 300, 499, 500),
)


def pixels(dtype: str = "uint8", channels: tuple[int, ...] = ()) -> NDArray[Any]:
    """Noise of 300 x 500 pixels."""
    return RNG.integers(0, 250, (300, 500, *channels)).astype(dtype)


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (pixels(), {"tile": (64, 128)}),
        (pixels(channels=(3,)), {"tile": (64, 128), "compression": "zlib"}),
        (pixels("uint16"), {"tile": (128, 64), "compression": "zstd", "predictor": True}),
        (pixels("uint16"), {"tile": (128, 64), "byteorder": ">"}),
        (pixels(channels=(4,)), {"tile": (256, 256), "extrasamples": ["unassalpha"]}),
        (pixels(), {"rowsperstrip": 7, "compression": "zlib"}),
        (pixels(), {}),
    ],
    ids=["gray", "RGB", "16 bit", "big-endian", "RGBA", "strips", "one strip"],
)
def test_a_window_of_a_tiff(values: NDArray[Any], how: dict[str, Any], tmp_path: Path) -> None:
    """It is that of the whole image, however the file is laid out."""
    colour = values.ndim == 3
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb" if colour else None, **how)
    image = windows.open_image(str(tmp_path / "a.tif"))
    assert (image.shape, image.dtype) == (values.shape, values.dtype)
    assert windows.pixels_of(tmp_path / "a.tif") == 300 * 500
    for top, bottom, left, right in WINDOWS:
        window = slice(top, bottom), slice(left, right)
        assert np.array_equal(image[window], values[window])


def test_a_pyramid_is_its_largest_image(tmp_path: Path) -> None:
    """What lies below it, smaller copies, is not looked at."""
    values = pixels(channels=(3,))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(values, tile=(64, 64), subifds=1, photometric="rgb")
        file.write(values[::2, ::2], tile=(64, 64), subfiletype=1, photometric="rgb")
    image = windows.open_image(str(tmp_path / "a.tif"))
    assert np.array_equal(image[5:200, 100:400], values[5:200, 100:400])


def test_what_was_never_written_is_black(tmp_path: Path) -> None:
    """A tile that a file holds nothing of is of zeros."""
    tifffile.imwrite(tmp_path / "a.tif", pixels()[:128, :192], tile=(64, 64))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tiff.pages.first.tags[name].overwrite([0] * 6)
    assert not windows.open_image(str(tmp_path / "a.tif"))[3:100, 5:190].any()


@pytest.mark.parametrize(
    ("values", "how", "why"),
    [
        (pixels().astype(np.float32), {"tile": (64, 64)}, "float32 in the shape"),
        (
            np.stack([pixels()] * 5),
            {"tile": (64, 64), "planarconfig": "separate", "photometric": "minisblack"},
            "",
        ),
    ],
)
def test_what_is_no_large_image(
    values: NDArray[Any], how: dict[str, Any], why: str, tmp_path: Path
) -> None:
    """It is told in one line, with the file, and what to do."""
    tifffile.imwrite(tmp_path / "a.tif", values, **how)
    if why:
        with pytest.raises(InputError, match=f"a.tif: {why}.*convert it"):
            windows.open_image(str(tmp_path / "a.tif"))


def test_a_strip_that_is_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed image in one piece would be read as a whole for each tile, and is refused."""
    monkeypatch.setattr(windows, "MOST_IN_STRIP", 1000)
    tifffile.imwrite(tmp_path / "a.tif", pixels(), compression="zlib", rowsperstrip=300)
    with pytest.raises(InputError, match=r"strips of 300 x 500 pixels.*write it in tiles"):
        windows.open_image(str(tmp_path / "a.tif"))


def test_a_damaged_tile(tmp_path: Path) -> None:
    """It is named when it is read; what lies beside it is read all the same."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(), tile=(64, 128), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages.first.dataoffsets[6]
    content = bytearray(path.read_bytes())
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    image = windows.open_image(str(path))
    assert image[:64, :500].any()
    with pytest.raises(InputError, match="tile 6 is damaged"):
        image[0:300, 0:500]


def test_no_image(tmp_path: Path) -> None:
    """Anything else is told of, and has no pixels."""
    (tmp_path / "a.tif").write_bytes(b"II*\0no image")
    assert windows.pixels_of(tmp_path / "a.tif") == 0
    with pytest.raises(InputError, match="can't be read as a large image"):
        windows.open_image(str(tmp_path / "a.tif"))


def test_tiles_are_written_as_they_come(tmp_path: Path) -> None:
    """An image is written square by square, and is the same when it is read."""
    values = RNG.integers(0, 99, (700, 1300)).astype(np.int32)
    side = windows.TILE
    squares = (
        np.ascontiguousarray(values[top : top + side, left : left + side])
        for top in range(0, 700, side)
        for left in range(0, 1300, side)
    )
    windows.save_tiles(tmp_path / "a.tif", squares, shape=values.shape, dtype=np.int32)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), values)


zarr = pytest.importorskip("zarr")


def saved_zarr(path: Path, values: NDArray[Any], axes: str, chunks: tuple[int, ...]) -> None:
    """An OME-Zarr image with one scale."""
    group = zarr.open_group(path, mode="w")
    group.create_array("0", data=values, chunks=chunks)
    named = [{"name": axis.lower()} for axis in axes]
    group.attrs["ome"] = {"multiscales": [{"axes": named, "datasets": [{"path": "0"}]}]}


@pytest.mark.parametrize("axes", ["YX", "CYX", "TCZYX"])
def test_a_window_of_a_zarr(axes: str, tmp_path: Path) -> None:
    """Its colours come last, and axes of one are left out."""
    values = pixels() if axes != "CYX" else np.moveaxis(pixels(channels=(3,)), -1, 0)
    expected = values if axes != "CYX" else np.moveaxis(values, 0, -1)
    stored = values.reshape((1,) * (len(axes) - values.ndim) + values.shape)
    saved_zarr(tmp_path / "a.zarr", stored, axes, (*stored.shape[:-2], 64, 128))
    image = windows.open_image(str(tmp_path / "a.zarr"))
    assert image.shape == expected.shape
    assert image.tile == (64, 128)
    for top, bottom, left, right in WINDOWS:
        window = slice(top, bottom), slice(left, right)
        assert np.array_equal(image[window], expected[window])


def test_a_zarr_without_a_scale(tmp_path: Path) -> None:
    """An array is an image by itself; a group without scales is told of."""
    values = pixels()
    zarr.create_array(tmp_path / "a.zarr", data=values, chunks=(64, 64))
    assert np.array_equal(
        windows.open_image(str(tmp_path / "a.zarr"))[5:99, 7:300], values[5:99, 7:300]
    )
    zarr.open_group(tmp_path / "b.zarr", mode="w").create_array("x", data=values)
    with pytest.raises(InputError, match=r"b.zarr: a Zarr group without the scales of OME-Zarr"):
        windows.open_image(str(tmp_path / "b.zarr"))


@pytest.mark.parametrize("channels", [(), (3,)], ids=["gray", "RGB"])
def test_a_large_image_is_written_as_zarr(channels: tuple[int, ...], tmp_path: Path) -> None:
    """The same pixels in chunks, and what OME-Zarr asks for: a name and a scale for each axis."""
    values = RNG.integers(0, 250, (700, 1100, *channels)).astype(np.uint16)
    colour = "rgb" if channels else None
    tifffile.imwrite(tmp_path / "a.tif", values, tile=(64, 128), photometric=colour)
    folder = tmp_path / "a.ome.zarr"
    folder.mkdir()
    windows.write_zarr(folder, windows.open_image(str(tmp_path / "a.tif")))
    image = windows.open_image(str(folder))
    assert (image.shape, image.dtype, image.tile) == (values.shape, values.dtype, (512, 512))
    assert np.array_equal(image[:, :], values)
    told: Any = zarr.open_group(folder, mode="r").attrs["ome"]
    (scales,) = told["multiscales"]
    assert [axis["name"] for axis in scales["axes"]] == (["c"] if channels else []) + ["y", "x"]
    (scale,) = scales["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [1.0] * values.ndim}
