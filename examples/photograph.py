"""Draws something like a photograph: sky, sun, hills, grass, film grain. `photograph.py OUTPUT.jpg`; needs Pillow."""

from __future__ import annotations

import random
import sys

from PIL import Image, ImageChops, ImageDraw, ImageFilter

SIZE = (1600, 1200)
SEED = 7


def photograph() -> Image.Image:
    """An evening landscape, 1600x1200, the same each time but for the grain."""
    chance = random.Random(SEED)
    width, height = SIZE
    picture = Image.composite(
        Image.new("RGB", SIZE, (250, 190, 120)),
        Image.new("RGB", SIZE, (40, 70, 140)),
        Image.linear_gradient("L").resize(SIZE),
    )
    draw = ImageDraw.Draw(picture)
    draw.ellipse((1080, 380, 1240, 540), fill=(255, 244, 214))
    picture = picture.filter(ImageFilter.GaussianBlur(6))
    draw = ImageDraw.Draw(picture)
    for layer, colour in enumerate(((90, 90, 120), (60, 80, 80), (40, 62, 46))):
        base = 620 + 130 * layer
        ridge = [(x, base + chance.randint(-70, 70) // (layer + 1)) for x in range(0, width + 100, 100)]
        draw.polygon([(0, height), *ridge, (width, height)], fill=colour)
    for _ in range(9000):
        x, y = chance.randint(0, width), chance.randint(900, height)
        shade = chance.randint(20, 120)
        draw.line((x, y, x + chance.randint(-6, 6), y - chance.randint(8, 30)), fill=(shade // 2, shade, shade // 3))
    grain = Image.merge("RGB", [Image.effect_noise(SIZE, 22)] * 3)
    return ImageChops.overlay(picture.filter(ImageFilter.GaussianBlur(0.8)), grain)


if __name__ == "__main__":
    photograph().save(sys.argv[1], "JPEG", quality=90)
