"""What comes out of a photo that can be cut out well."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from actors.ports import PictureTemplate
from server.commands.sample_photo import HEIGHT, WIDTH, sample_mask
from server.gateways.pictures.pool import PictureProcesses
from tests.server.gateways.pictures.drawings import Pixels, agreement, loaded, saved, scene, with_blobs

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def matting(pictures: PictureProcesses, source: Path) -> Pixels:
    (path,) = await pictures.clean(source, source.parent, PictureTemplate.MATTING)
    return loaded(path)


async def test_the_sample_in_all_templates(pictures: PictureProcesses, sample: Path, tmp_path: Path) -> None:
    paths = await pictures.clean(sample, tmp_path, PictureTemplate.ALL)
    assert [path.name for path in paths] == ["matting.png", "white-bg.png", "enhanced.png"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    cut, white, enhanced = (loaded(path) for path in paths)
    _check_matting(cut)
    _check_white(white, cut, loaded(sample))
    _check_enhanced(enhanced)


def _check_matting(cut: Pixels) -> None:
    assert cut.shape == (HEIGHT, WIDTH, 4)
    alpha = cut[..., 3]
    assert agreement(alpha > 127, sample_mask() > 0) > 0.98
    edge = (alpha > 50) & (alpha < 200)
    assert 500 < np.count_nonzero(edge) < 0.01 * alpha.size  # soft, and only at the outline
    red, green, _ = cut[edge][:, :3].mean(axis=0)
    assert green - red > 20  # the shirt is teal, the floor brown: an edge of the floor's colour would be a halo


def _check_white(white: Pixels, cut: Pixels, photo: Pixels) -> None:
    assert white.shape == (HEIGHT, WIDTH, 3)
    outside = cv2.dilate(sample_mask(), np.ones((41, 41), np.uint8)) == 0
    assert (white[outside] == 255).all()
    inside = cut[..., 3] == 255
    assert (white[inside] == cut[inside][:, :3]).all()
    assert (white[inside] == photo[inside]).mean() > 0.99  # the garment itself is not altered, but near its edge


def _check_enhanced(enhanced: Pixels) -> None:
    side = enhanced.shape[0]
    assert enhanced.shape == (side, side, 3)
    assert 1000 <= side <= 2048
    seen = np.any(np.less(enhanced, 250), axis=2)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
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
async def test_one_template(
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


async def test_two_shoes_are_both_kept(pictures: PictureProcesses, tmp_path: Path) -> None:
    shoes = with_blobs(scene(), [(120, 250, 60, 110), (280, 250, 60, 110)])
    alpha = (await matting(pictures, saved(shoes, tmp_path / "shoes.png")))[..., 3]
    assert alpha[250, 120] == alpha[250, 280] == 255
    assert alpha[250, 200] == 0


async def test_a_board_gap_and_a_rugs_corner_are_left_out(pictures: PictureProcesses, tmp_path: Path) -> None:
    floor = scene()
    floor[:, 198:203] = (100, 75, 55)
    floor[:70, 320:] = (190, 60, 30)
    source = saved(with_blobs(floor, [(200, 270, 100, 130)]), tmp_path / "floor.png")
    alpha = (await matting(pictures, source))[..., 3]
    assert alpha[270, 200] == 255
    assert alpha[30, 360] == alpha[60, 200] == alpha[470, 200] == 0


async def test_a_garment_that_the_frame_cuts(pictures: PictureProcesses, sample: Path, tmp_path: Path) -> None:
    cut = slice(0, round(0.72 * HEIGHT))  # through the shirt, above its hem
    source = saved(loaded(sample)[cut], tmp_path / "cut.png")
    assert agreement((await matting(pictures, source))[..., 3] > 127, sample_mask()[cut] > 0) > 0.97


async def test_a_gray_garment_stays_gray(pictures: PictureProcesses, tmp_path: Path) -> None:
    source = saved(with_blobs(scene(), [(200, 250, 110, 150)], (90, 90, 90)), tmp_path / "gray.png")
    (path,) = await pictures.clean(source, tmp_path, PictureTemplate.ENHANCED)
    enhanced = loaded(path).astype(int)
    middle = enhanced[enhanced.shape[0] // 2 - 50 :][:100, enhanced.shape[1] // 2 - 50 :][:, :100]
    assert np.ptp(middle, axis=2).max() <= 4


async def test_a_transparent_source_is_seen_on_white(pictures: PictureProcesses, tmp_path: Path) -> None:
    blob = with_blobs(np.zeros((500, 400, 3), np.uint8), [(200, 250, 100, 130)])
    seen = blob[..., 1] > 127
    source = saved(np.dstack((blob, np.where(seen, 255, 0).astype(np.uint8))), tmp_path / "cutout.png")
    assert agreement((await matting(pictures, source))[..., 3] > 127, seen) > 0.97


async def test_large_photo_keeps_its_frame(pictures: PictureProcesses, tmp_path: Path) -> None:
    small = with_blobs(scene(), [(200, 250, 100, 130)])
    large = np.asarray(cv2.resize(small, (3200, 4000), interpolation=cv2.INTER_CUBIC), np.uint8)
    alpha = (await matting(pictures, saved(large, tmp_path / "large.jpg")))[..., 3]
    assert alpha.shape == (4000, 3200)
    shape = with_blobs(np.zeros_like(small), [(200, 250, 100, 130)], (255, 255, 255))[..., 0]
    assert agreement(alpha > 127, cv2.resize(shape, (3200, 4000), interpolation=cv2.INTER_CUBIC) > 127) > 0.99
