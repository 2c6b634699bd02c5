// proxy/ui/ui_page.cc - see ui_page.h.
#include "proxy/ui/ui_page.h"

#include <array>

#include <openssl/evp.h>

namespace batchproxy {

extern const std::string_view kUiPageText;  // of the file that embed.cmake writes

namespace {

std::string base64_of_sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> encoded{};
  const int length = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(size));
  return {encoded.begin(), encoded.begin() + length};
}

// " 'sha256-…'" for each element without attributes.
std::string hashes_of(std::string_view html, std::string_view element) {
  const std::string begin = "<" + std::string(element) + ">";
  const std::string end = "</" + std::string(element) + ">";
  std::string hashes;
  std::size_t at = html.find(begin);
  while (at != html.npos) {
    const std::size_t from = at + begin.size();
    const std::size_t to = html.find(end, from);
    if (to == html.npos) break;
    hashes.append(" 'sha256-").append(base64_of_sha256(html.substr(from, to - from))).append("'");
    at = html.find(begin, to);
  }
  return hashes.empty() ? " 'none'" : hashes;
}

}  // namespace

std::string policy_of(std::string_view html) {
  return "default-src 'none'; script-src" + hashes_of(html, "script") + "; style-src" +
         hashes_of(html, "style") +
         "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
         "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
}

const UiPage& ui_page() {
  static const UiPage page{kUiPageText, policy_of(kUiPageText),
                           "\"" + base64_of_sha256(kUiPageText).substr(0, 22) + "\""};
  return page;
}

}  // namespace batchproxy
