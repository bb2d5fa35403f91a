"""Draws the icon and the logo of the app: python home-assistant/draw.py (needs Pillow)."""

from pathlib import Path

from PIL import Image, ImageDraw

APP = Path(__file__).parent / "wyoming_pocket_tts"
BLUE = (3, 119, 174)
WHITE = (255, 255, 255)
_SCALE = 4
"""Drawn larger and scaled down, for smooth edges."""


def icon(size: int) -> Image.Image:
    """A white pocket with three sound waves on a blue ground."""
    unit = size * _SCALE / 128
    image = Image.new("RGBA", (size * _SCALE, size * _SCALE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle(_box(unit, 2, 2, 126, 126), radius=26 * unit, fill=BLUE)
    for radius in (14, 26, 38):
        box = _box(unit, 64 - radius, 62 - radius, 64 + radius, 62 + radius)
        draw.arc(box, start=215, end=325, fill=WHITE, width=round(6 * unit))
    pocket = [(32, 66), (96, 66), (96, 92), (64, 112), (32, 92)]
    draw.polygon([(x * unit, y * unit) for x, y in pocket], fill=WHITE)
    draw.line([(32 * unit, 76 * unit), (96 * unit, 76 * unit)], fill=BLUE, width=round(3 * unit))
    return image.resize((size, size), Image.Resampling.LANCZOS)


def logo(width: int, height: int) -> Image.Image:
    """The icon and a row of level bars."""
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    image.paste(icon(height), (0, 0))
    bars = Image.new("RGBA", ((width - height) * _SCALE, height * _SCALE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(bars)
    heights = (0.2, 0.5, 0.8, 0.45, 0.95, 0.6, 0.3, 0.7, 0.4, 0.15)
    step = bars.width / (len(heights) + 1)
    for position, share in enumerate(heights, start=1):
        half = share * bars.height * 0.4
        middle = bars.height / 2
        box = (position * step - step / 5, middle - half, position * step + step / 5, middle + half)
        draw.rounded_rectangle(box, radius=step / 5, fill=BLUE)
    image.paste(bars.resize((width - height, height), Image.Resampling.LANCZOS), (height, 0))
    return image


def _box(unit: float, left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    return left * unit, top * unit, right * unit, bottom * unit


if __name__ == "__main__":
    icon(128).save(APP / "icon.png", optimize=True)
    logo(250, 100).save(APP / "logo.png", optimize=True)
