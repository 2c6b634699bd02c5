// proxy/ui/ui_page.h - UiPage: the page that GET /ui sends, and what its browser is told of it.
//
// The build puts page.css and page.js into page.html (embed.cmake). Nothing of it is loaded from
// elsewhere, and the policy lets nothing else run: neither a script that somebody has smuggled into
// a text, nor a style.
//
// Threading: pure functions; ui_page() any thread.
#pragma once

#include <string>
#include <string_view>

namespace batchproxy {

struct UiPage {
  std::string_view html;
  std::string policy;  // Content-Security-Policy
  std::string etag;
};

// Made once.
const UiPage& ui_page();

// The policy of a page: its inline scripts and styles by their hashes, requests to its own origin,
// and nothing else. Nobody may frame it.
std::string policy_of(std::string_view html);

}  // namespace batchproxy
