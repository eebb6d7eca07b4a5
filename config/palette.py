"""The colours of the theme: a calm blue-green, and greys with a touch of it.

The 600s carry white text, the 500s stand on the dark ground.
"""

COLORS: dict[str, dict[str, str]] = {
    "base": {
        "50": "oklch(98.4% .003 220)",
        "100": "oklch(96.4% .005 220)",
        "200": "oklch(92.3% .008 220)",
        "300": "oklch(86.6% .012 220)",
        "400": "oklch(65.5% .022 222)",
        "500": "oklch(54.0% .024 224)",
        "600": "oklch(44.0% .026 226)",
        "700": "oklch(36.6% .028 228)",
        "800": "oklch(27.6% .027 230)",
        "900": "oklch(20.8% .024 232)",
        "950": "oklch(14.5% .020 234)",
    },
    "primary": {
        "50": "oklch(97.6% .014 205)",
        "100": "oklch(94.2% .030 205)",
        "200": "oklch(88.5% .055 207)",
        "300": "oklch(80.6% .085 209)",
        "400": "oklch(74.6% .105 212)",
        "500": "oklch(69.0% .110 215)",
        "600": "oklch(51.5% .095 220)",
        "700": "oklch(45.0% .085 223)",
        "800": "oklch(38.8% .072 226)",
        "900": "oklch(33.6% .058 228)",
        "950": "oklch(25.0% .045 230)",
    },
    "font": {
        "subtle-light": "var(--color-base-500)",
        "subtle-dark": "var(--color-base-400)",
        "default-light": "var(--color-base-600)",
        "default-dark": "var(--color-base-300)",
        "important-light": "var(--color-base-900)",
        "important-dark": "var(--color-base-100)",
    },
}
