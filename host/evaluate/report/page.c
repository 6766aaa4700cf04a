/* What all pages use: the head with its style, escaped text, pictures in base64. */
#include "parts.h"

#include <string.h>

const char report_head[] =
    "<!doctype html>\n"
    "<html lang=\"en\">\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<style>\n"
    ":root { color-scheme: light dark; --ink: #1d1d1f; --soft: #6b6b70; --line: #d8d8dc;\n"
    "  --card: #f6f6f8; --paper: #fff; --good: #1a7f37; --bad: #c0392b; --blue: #2563c9; }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #eee; --soft: #a2a2a8;\n"
    "  --line: #3a3a3e; --card: #232326; --paper: #161618; --good: #4cc26b; --bad: #ff7b6b;\n"
    "  --blue: #7aa9ff; } }\n"
    "body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);\n"
    "  max-width: 720px; margin: 0 auto; padding: 16px; }\n"
    "h1 { font-size: 1.5rem; line-height: 1.2; margin: 8px 0 16px; }\n"
    "h2 { font-size: 1.15rem; margin: 32px 0 8px; }\n"
    "table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }\n"
    "th, td { text-align: right; padding: 5px 4px; border-bottom: 1px solid var(--line); }\n"
    "th:first-child, td:first-child { text-align: left; }\n"
    "th { font-weight: 500; color: var(--soft); }\n"
    "tr.part td { color: var(--soft); font-size: .9rem; }\n"
    "tr.part td:first-child { padding-left: 16px; }\n"
    "tr.whole td { font-weight: 600; }\n"
    ".chart { width: 100%; max-width: 560px; height: auto; display: block; }\n"
    ".chart text { font-size: 11px; fill: var(--soft); }\n"
    ".chart .grid { stroke: var(--line); }\n"
    "polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }\n"
    "polyline.training { stroke: var(--blue); }\n"
    "polyline.validation { stroke: var(--bad); }\n"
    "circle.validation { fill: var(--bad); }\n"
    ".legend { margin: 0; } .legend span.training { color: var(--blue); }\n"
    ".legend span.validation { color: var(--bad); margin-left: 16px; }\n"
    ".legend span::before { content: '\\2501\\2002'; }\n"
    ".item { background: var(--card); border-radius: 10px; padding: 12px; margin: 12px 0; }\n"
    ".phrase { margin: 0 0 8px; font-weight: 600; }\n"
    ".row { display: flex; gap: 8px; }\n"
    ".option { flex: 1 1 0; min-width: 0; text-align: center; }\n"
    ".option .picture { border: 3px solid transparent; border-radius: 8px; padding: 2px; }\n"
    ".option.right .picture { border-color: var(--good); }\n"
    ".picture svg, .picture img { width: 100%; height: auto; display: block;\n"
    "  border-radius: 4px; image-rendering: pixelated; }\n"
    ".missing { display: block; padding: 24px 0; color: var(--soft); font-size: .8rem; }\n"
    ".tag { display: block; font-size: .75rem; line-height: 1.35; border-radius: 6px;\n"
    "  margin: 3px 2px 0; padding: 1px 2px; color: var(--paper); background: var(--bad); }\n"
    ".tag.good { background: var(--good); }\n"
    ".one { max-width: 25%; margin-bottom: 8px; }\n"
    ".line { display: flex; gap: 8px; align-items: center; padding: 4px 8px;\n"
    "  border: 2px solid transparent; border-radius: 8px; }\n"
    ".line.right { border-color: var(--good); }\n"
    ".line span:first-child { flex: 1; } .line .tag { padding: 1px 8px; }\n"
    "pre { overflow-x: auto; background: var(--card); border-radius: 10px; padding: 12px;\n"
    "  font-size: .8rem; }\n"
    ".soft { color: var(--soft); }\n"
    "</style>\n";

void report_text(struct nc_writer *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        switch (text[i]) {
        case '&':
            nc_writer_printf(out, "&amp;");
            break;
        case '<':
            nc_writer_printf(out, "&lt;");
            break;
        case '>':
            nc_writer_printf(out, "&gt;");
            break;
        case '"':
            nc_writer_printf(out, "&quot;");
            break;
        default:
            nc_writer_write(out, text + i, 1);
        }
    }
}

void report_string(struct nc_writer *out, const char *text)
{
    report_text(out, text, strlen(text));
}

void report_base64(struct nc_writer *out, const uint8_t *data, size_t size)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16;
        bits |= i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0;
        bits |= i + 2 < size ? data[i + 2] : 0;
        char four[4] = {letters[bits >> 18], letters[bits >> 12 & 63],
                        i + 1 < size ? letters[bits >> 6 & 63] : '=',
                        i + 2 < size ? letters[bits & 63] : '='};
        nc_writer_write(out, four, sizeof four);
    }
}
