"""The results for photos in which the garment can be found."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.ports import PictureTemplate
from server.commands.sample_photo import HEIGHT, WIDTH, sample_mask
from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.images import (
    Pixels,
    draw_ellipses,
    empty_floor,
    intersection_over_union,
    load_pixels,
    save_image,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def make_matting(pictures: PictureProcesses, source: Path) -> Pixels:
    (path,) = await pictures.clean(source, source.parent, PictureTemplate.MATTING)
    return load_pixels(path)


async def test_the_sample_gives_all_three_pictures(pictures: PictureProcesses, sample: Path, tmp_path: Path) -> None:
    paths = await pictures.clean(sample, tmp_path, PictureTemplate.ALL)
    assert [path.name for path in paths] == ["matting.png", "white-bg.png", "enhanced.png"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    cut, white, enhanced = (load_pixels(path) for path in paths)
    _check_matting(cut)
    _check_white(white, cut, load_pixels(sample))
    _check_enhanced(enhanced)


def _check_matting(cut: Pixels) -> None:
    assert cut.shape == (HEIGHT, WIDTH, 4)
    alpha = cut[..., 3]
    assert intersection_over_union(alpha > 127, sample_mask() > 0) > 0.98
    contour = (alpha > 50) & (alpha < 200)
    assert 500 < np.count_nonzero(contour) < 0.01 * alpha.size  # the outline is soft and thin
    red, green, _ = cut[contour][:, :3].mean(axis=0)
    assert green - red > 20  # the shirt is teal and the floor brown: the outline must not have the floor's colour


def _check_white(white: Pixels, cut: Pixels, photo: Pixels) -> None:
    assert white.shape == (HEIGHT, WIDTH, 3)
    outside = cv2.dilate(sample_mask(), np.ones((41, 41), np.uint8)) == 0
    assert (white[outside] == 255).all()
    inside = cut[..., 3] == 255
    assert (white[inside] == cut[inside][:, :3]).all()
    assert (white[inside] == photo[inside]).mean() > 0.99  # the garment changes only near its outline


def _check_enhanced(enhanced: Pixels) -> None:
    side = enhanced.shape[0]
    assert enhanced.shape == (side, side, 3)
    assert 1000 <= side <= 2048
    visible = np.any(np.less(enhanced, 250), axis=2)
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    margins = np.array([rows[0], side - 1 - rows[-1], columns[0], side - 1 - columns[-1]]) / side
    assert margins.min() == pytest.approx(0.08, abs=0.01)
    assert margins[0] == pytest.approx(margins[1], abs=0.01)
    assert margins[2] == pytest.approx(margins[3], abs=0.01)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (PictureTemplate.MATTING, "matting.png"),
        (PictureTemplate.WHITE_BG, "white-bg.png"),
        (PictureTemplate.ENHANCED, "enhanced.png"),
    ],
)
async def test_one_template_gives_one_picture(
    pictures: PictureProcesses, sample: Path, tmp_path: Path, template: PictureTemplate, name: str
) -> None:
    assert await pictures.clean(sample, tmp_path, template) == [tmp_path / name]
    assert list(tmp_path.iterdir()) == [tmp_path / name]


async def test_the_same_photo_gives_the_same_picture(pictures: PictureProcesses, sample: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        await pictures.clean(sample, folder, PictureTemplate.MATTING)
    assert (first / "matting.png").read_bytes() == (second / "matting.png").read_bytes()


async def test_both_shoes_of_a_pair_are_kept(pictures: PictureProcesses, tmp_path: Path) -> None:
    shoes = draw_ellipses(empty_floor(), [(120, 250, 60, 110), (280, 250, 60, 110)])
    alpha = (await make_matting(pictures, save_image(shoes, tmp_path / "shoes.png")))[..., 3]
    assert alpha[250, 120] == alpha[250, 280] == 255
    assert alpha[250, 200] == 0


async def test_a_gap_between_boards_and_a_corner_of_a_rug_are_removed(
    pictures: PictureProcesses, tmp_path: Path
) -> None:
    floor = empty_floor()
    floor[:, 198:203] = (100, 75, 55)
    floor[:70, 320:] = (190, 60, 30)
    source = save_image(draw_ellipses(floor, [(200, 270, 100, 130)]), tmp_path / "floor.png")
    alpha = (await make_matting(pictures, source))[..., 3]
    assert alpha[270, 200] == 255
    assert alpha[30, 360] == alpha[60, 200] == alpha[470, 200] == 0


async def test_a_garment_cut_by_the_frame_is_found(pictures: PictureProcesses, sample: Path, tmp_path: Path) -> None:
    cut = slice(0, round(0.72 * HEIGHT))  # this cuts the shirt above its hem
    source = save_image(load_pixels(sample)[cut], tmp_path / "cut.png")
    assert intersection_over_union((await make_matting(pictures, source))[..., 3] > 127, sample_mask()[cut] > 0) > 0.97


async def test_a_gray_garment_stays_gray(pictures: PictureProcesses, tmp_path: Path) -> None:
    source = save_image(draw_ellipses(empty_floor(), [(200, 250, 110, 150)], (90, 90, 90)), tmp_path / "gray.png")
    (path,) = await pictures.clean(source, tmp_path, PictureTemplate.ENHANCED)
    enhanced = load_pixels(path).astype(int)
    middle = enhanced[enhanced.shape[0] // 2 - 50 :][:100, enhanced.shape[1] // 2 - 50 :][:, :100]
    assert np.ptp(middle, axis=2).max() <= 4


async def test_a_transparent_photo_is_treated_as_on_white(pictures: PictureProcesses, tmp_path: Path) -> None:
    blob = draw_ellipses(np.zeros((500, 400, 3), np.uint8), [(200, 250, 100, 130)])
    opaque = blob[..., 1] > 127
    source = save_image(np.dstack((blob, np.where(opaque, 255, 0).astype(np.uint8))), tmp_path / "cutout.png")
    assert intersection_over_union((await make_matting(pictures, source))[..., 3] > 127, opaque) > 0.97


async def test_the_result_has_the_size_of_a_large_photo(pictures: PictureProcesses, tmp_path: Path) -> None:
    small = draw_ellipses(empty_floor(), [(200, 250, 100, 130)])
    large = np.asarray(cv2.resize(small, (3200, 4000), interpolation=cv2.INTER_CUBIC), np.uint8)
    alpha = (await make_matting(pictures, save_image(large, tmp_path / "large.jpg")))[..., 3]
    assert alpha.shape == (4000, 3200)
    shape = draw_ellipses(np.zeros_like(small), [(200, 250, 100, 130)], (255, 255, 255))[..., 0]
    assert (
        intersection_over_union(alpha > 127, cv2.resize(shape, (3200, 4000), interpolation=cv2.INTER_CUBIC) > 127)
        > 0.99
    )
