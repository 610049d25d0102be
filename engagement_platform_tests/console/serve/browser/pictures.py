"""Makes the pictures of docs/page.md: each state of the page, over a sample as the reading gives it.

python -m engagement_platform_tests.console.serve.browser.pictures [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image

from engagement_platform_tests.console.serve import states
from engagement_platform_tests.console.serve.browser.conftest import Browser, start_driver
from engagement_platform_tests.console.serve.served import Served

FOLDER = Path(__file__).parents[4] / "docs" / "images"
PICTURES = {
    "page-well": ("well", "en", "light", 1280),
    "page-redis": ("redis", "en", "light", 1280),
    "page-partner": ("partner-down", "en", "light", 1280),
    "page-partner-refuses": ("partner-refuses", "en", "light", 1280),
    "page-kafka": ("kafka", "en", "light", 1280),
    "page-source": ("source", "en", "light", 1280),
    "page-source-refuses": ("source-refuses", "en", "light", 1280),
    "page-nobody": ("nobody", "en", "light", 1280),
    "page-database": ("database", "en", "light", 1280),
    "page-letters": ("letters", "en", "dark", 1280),
    "page-arabic-dark": ("partner-down", "ar", "dark", 1280),
    "page-phone": ("redis", "en", "light", 390),
}
"""File -> state, language, colour scheme and width of the screen."""


def main(folder: Path) -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as profile:
        driver = start_driver(Path(profile))
        served = Served(states.well())
        try:
            browser = Browser(driver)
            for name, (state, language, scheme, width) in PICTURES.items():
                served.sampler.show(states.STATES[state]())
                browser.open(f"{served.url}/choose?language={language}", width=width, scheme=scheme)
                browser.wait_for_words("Live", "مباشر")
                browser.shoot(folder / f"{name}.png")
                make_small(folder / f"{name}.png")
        finally:
            driver.quit()
            served.end()


def make_small(file: Path) -> None:
    """Write a picture anew with 256 colours, which is a third of its bytes."""
    with Image.open(file) as picture:
        small = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(file, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
