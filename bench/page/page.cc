// bench/page/page.cc - see page.h.
#include "bench/page/page.h"

#include <fmt/format.h>

namespace batchproxy::bench {

namespace {

// Series differ in hue and in lightness, for those who see few hues; texts keep 4.5:1 and more.
constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--quiet:#59636e;--rule:#d6dbe0;--grid:#e8ebee;--card:#f6f8fa;
--s1:#0a58ca;--s2:#c2410c;--s3:#15803d;--s4:#7e22ce;--shade:#59636e22;
--h0:#f0f6ff;--h1:#dbe9fe;--h2:#bcd6fd;--h3:#93bdfb;--h4:#669ff6;--h5:#2f6fdc;--h6:#2366d1;--h7:#1a4fa8;--h8:#153e84;--onheat:#fff}
@media (prefers-color-scheme:dark){:root{--page:#0f1318;--ink:#e6e9ed;--quiet:#a3adb8;--rule:#333c46;--grid:#232a32;--card:#171d24;
--s1:#6ea8fe;--s2:#fb923c;--s3:#4ade80;--s4:#c084fc;--shade:#a3adb822;
--h0:#16202d;--h1:#1a2c44;--h2:#1e3a5f;--h3:#23497b;--h4:#2a5b9a;--h5:#5b91d6;--h6:#7fb0ea;--h7:#a5cbf5;--h8:#cfe4fc;--onheat:#0b0f14}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1280px;padding:24px 20px;background:var(--page);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
h1{font-size:24px;line-height:1.2;margin:0 0 4px}h2{font-size:17px;margin:28px 0 10px}
p{margin:6px 0;max-width:80ch}.quiet{color:var(--quiet)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:10px;margin:18px 0}
.tile{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:10px 12px}
.tile b{display:block;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}
.tile span{color:var(--quiet);font-size:13px}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:22px 30px}
figure{margin:0;min-width:0}svg{display:block;max-width:100%;height:auto}.narrow{display:none}
svg text{font:12px system-ui,sans-serif;fill:var(--quiet)}svg .title{font-size:14px;font-weight:600;fill:var(--ink)}
svg .label{fill:var(--quiet)}svg .onheat{fill:var(--onheat)}svg .inheat{fill:var(--ink)}
.axis{stroke:var(--quiet)}.grid{stroke:var(--grid)}.mark{stroke:var(--quiet);stroke-dasharray:3 3}.shade{fill:var(--shade)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2);stroke-dasharray:7 3}
.line.s3{stroke:var(--s3);stroke-dasharray:2 3}.line.s4{stroke:var(--s4);stroke-dasharray:9 3 2 3}
.area{opacity:.16}.area.s1,.bar.s1{fill:var(--s1)}.area.s2,.bar.s2{fill:var(--s2)}.area.s3,.bar.s3{fill:var(--s3)}.area.s4,.bar.s4{fill:var(--s4)}
.h0{fill:var(--h0)}.h1{fill:var(--h1)}.h2{fill:var(--h2)}.h3{fill:var(--h3)}.h4{fill:var(--h4)}.h5{fill:var(--h5)}.h6{fill:var(--h6)}.h7{fill:var(--h7)}.h8{fill:var(--h8)}
.heat.none{fill:none;stroke:var(--rule);stroke-dasharray:3 3}.best{stroke:var(--s2);stroke-width:3}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:5px 10px;border-bottom:1px solid var(--rule);vertical-align:top}
th,td{white-space:nowrap}th:first-child,td:first-child{text-align:left;padding-left:0;white-space:normal}thead th{color:var(--quiet);font-weight:600}
.facts td{text-align:left;white-space:normal;overflow-wrap:anywhere}.facts td:first-child{color:var(--quiet);white-space:nowrap}
pre{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:10px 12px;overflow-x:auto;font-size:13px}
@media (max-width:900px){.charts{grid-template-columns:1fr}}
@media (max-width:560px){body{padding:16px}.wide{display:none}.narrow{display:block}h1{font-size:20px}}
@media print{:root{--page:#fff;--ink:#000;--quiet:#444;--rule:#bbb;--grid:#ddd;--card:#fff}body{padding:0}figure,.tile,tr{break-inside:avoid}}
)";

}  // namespace

std::string page_of(std::string_view title, std::string_view subtitle, std::string_view content) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>"
      "<meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><style>{1}</style></head>\n"
      "<body><h1>{0}</h1><p class=\"quiet\">{2}</p>\n{3}</body></html>\n",
      escaped(title), kStyle, escaped(subtitle), content);
}

std::string drawing_of(const std::function<std::string(const Canvas&)>& draw) {
  return fmt::format(
      "<figure><div class=\"wide\">{}</div><div class=\"narrow\">{}</div></figure>\n", draw(kWide),
      draw(kNarrow));
}

std::string tiles_of(const std::vector<Tile>& tiles) {
  std::string html = "<div class=\"tiles\">";
  for (const Tile& tile : tiles) {
    html += fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>", escaped(tile.value),
                        escaped(tile.name));
  }
  return html + "</div>\n";
}

std::string table_of(const std::vector<std::vector<std::string>>& rows) {
  std::string html = "<div class=\"scroll\"><table>";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string_view tag = i == 0 ? "th" : "td";
    html += i == 0 ? "<thead><tr>" : "<tr>";
    for (const std::string& cell : rows[i])
      html += fmt::format("<{0}>{1}</{0}>", tag, escaped(cell));
    html += i == 0 ? "</tr></thead><tbody>" : "</tr>";
  }
  return html + "</tbody></table></div>\n";
}

std::string section_of(std::string_view heading, std::string_view content) {
  return fmt::format("<h2>{}</h2>\n{}", escaped(heading), content);
}

}  // namespace batchproxy::bench
