"""Names that want to be elsewhere, or are no file names everywhere."""

from __future__ import annotations

NAMES: tuple[str, ...] = (
    # Up and away.
    *(
        "..",
        "../x",
        "../../x",
        "../../../../../../tmp/x",
        "x/../../y",
        "x/..",
        "./x",
        ".",
        "...",
        "x/./y",
        "x//y",
        "x/",
    ),
    *("/", "/etc/x", "//x", "/../x", "~", "~/x", "~root/x", "~root", "file:///etc/x", "file:x"),
    # As other systems write paths.
    *("..\\x", "x\\..\\..\\y", "C:\\x", "C:x", "\\\\server\\share\\x", "\\\\?\\C:\\x", "\\x", "x:stream", "x::$DATA"),
    # Encoded, in the hope that somebody decodes.
    *("%2e%2e%2fx", "..%2fx", "%2e%2e/x", "..%c0%afx", "..%255cx", "x%00y", "%2fetc%2fx", "&#46;&#46;/x"),
    # Letters that look like others.
    *("\uff0e\uff0e/x", "..\u2215x", "..\u2044x", "..\uff0fx", "\u2025/x", "\u202e../x", "x\u200b/../y", "\ufeff../x"),
    *("\u0430dmin", "x\u0301", "\u212a", "\u041c\u0422\u0421\u0421", "\U0001f642"),
    # Control characters and what ends a text somewhere.
    *("x\0y", "\0", "x\ny", "x\r", "x\ty", "\x1b[2J", "\x7f", "x\u2028y", " x", "x ", "\u00a0x"),
    # Reserved words and endings.
    *("CON", "con", "con.txt", "NUL", "aux.parquet", "PRN", "COM1", "com9.x", "LPT1", "lpt9.x", "x.", "x..", "x. "),
    # What a shell or a program reads otherwise.
    *(
        ".hidden",
        ".staging-x",
        "_x",
        "-rf",
        "--help",
        "*",
        "x*",
        "x?",
        "x|y",
        "x<y",
        "x>y",
        'x"y',
        "x;y",
        "x&y",
        "$HOME",
    ),
    *("`id`", "$(id)", "%TEMP%", "!x", "#x", "{x}", "[x]", "x'y", "s3://bucket/x", "http://host/x", "dataset://../x"),
    # Too long, and nothing.
    *("x" * 65, "x" * 256, "x" * 5_000, "x/" * 200, "../" * 100 + "x", "\u00e9" * 200, ""),
    # Words of the layout.
    *("CURRENT", "versions", "current", "VERSIONS", "manifest.json", "x/versions/y", "x/CURRENT"),
)
