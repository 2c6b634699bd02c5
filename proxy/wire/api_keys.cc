// proxy/wire/api_keys.cc - see api_keys.h.
#include "proxy/wire/api_keys.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/http/head.h"
#include "backends/net/descriptor.h"
#include "configs/text/trim.h"

namespace batchproxy {

namespace {

constexpr std::string_view kVariable = "BATCHPROXY_API_KEYS";
constexpr std::string_view kHashed = "sha256:";
constexpr std::string_view kScheme = "bearer ";
constexpr std::size_t kLargestFile = 1 << 20;
constexpr std::size_t kLongestName = 32;   // a generated key in its place is longer
constexpr std::size_t kLongestKey = 1024;  // a head has 16 KiB

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool consists_of(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [others](char c) {
    return is_alphanumeric(c) || others.find(c) != std::string_view::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  return trim(text, " \t\r");
}

// The algorithm is looked up once: that costs more than a hash.
ApiKeys::Hash sha256(std::string_view text) {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  ApiKeys::Hash hash{};
  unsigned int size = 0;
  if (algorithm == nullptr ||
      EVP_Digest(text.data(), text.size(), hash.data(), &size, algorithm, nullptr) != 1 ||
      size != hash.size()) {
    throw std::runtime_error("OpenSSL has no SHA-256");
  }
  return hash;
}

std::optional<ApiKeys::Hash> parse_hex(std::string_view hex) {
  ApiKeys::Hash hash{};
  if (hex.size() != 2 * hash.size()) return std::nullopt;
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  for (std::size_t i = 0; i < hash.size(); ++i) {
    const int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    hash[i] = static_cast<unsigned char>(high * 16 + low);
  }
  return hash;
}

// The mode is asked of the open file, not of its name: nobody can swap it in between.
std::optional<std::string> read_secret_file(const std::string& path, Findings& findings) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat about{};
  if (file.get() < 0 || ::fstat(file.get(), &about) != 0) {
    findings.error({path}, std::string("the API keys cannot be read: ") + std::strerror(errno));
    return std::nullopt;
  }
  if (!S_ISREG(about.st_mode)) {
    findings.error({path}, "the API keys must be in a regular file");
    return std::nullopt;
  }
  if ((about.st_mode & 077) != 0) {
    findings.error({path}, fmt::format("others than its owner may use this file of API keys (mode "
                                       "{:04o}); run: chmod 600 {}",
                                       about.st_mode & 07777, path));
    return std::nullopt;
  }
  std::string text(kLargestFile + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(file.get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      findings.error({path}, std::string("the API keys cannot be read: ") + std::strerror(errno));
      return std::nullopt;
    }
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > kLargestFile) {
    findings.error({path}, "larger than 1 MiB; this is no file of API keys");
    return std::nullopt;
  }
  text.resize(size);
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
    findings.error({path}, "saved as UTF-16; save it as UTF-8");
    return std::nullopt;
  }
  return text;
}

}  // namespace

void ApiKeys::add(std::string_view text, const std::string& source, Findings& findings) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const bool is_variable = source == kVariable;
  const std::string_view ends = is_variable ? ",\n" : "\n";
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find_first_of(ends), text.size());
    std::string_view entry = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    entry = trimmed(entry.substr(0, entry.find('#')));
    if (!entry.empty()) add_entry(entry, {source, line, 1}, findings);
  }
}

void ApiKeys::add_entry(std::string_view entry, const Place& place, Findings& findings) {
  const std::size_t name_end = std::min(entry.find_first_of(" \t:"), entry.size());
  const std::string name(entry.substr(0, name_end));
  std::string_view rest = trimmed(entry.substr(name_end));
  // `name sha256:…` has a colon too, but not before the blank.
  if (rest.starts_with(':')) rest = trimmed(rest.substr(1));
  // Names are not repeated: somebody may have written the key first.
  if (rest.empty()) {
    return findings.error(place, "expected `name key` or `name sha256:<64 hex digits>`");
  }
  if (name.empty() || name.size() > kLongestName || !consists_of(name, "._-")) {
    return findings.error(place, fmt::format("expected a name first: at most {} letters, digits, "
                                             "dots, dashes and underscores",
                                             kLongestName));
  }
  if (std::ranges::find(keys_, name, &Key::name) != keys_.end()) {
    return findings.error(place, "another key has this name already");
  }
  if (keys_.size() == kMostKeys) {
    return findings.error(place, fmt::format("more than {} API keys", kMostKeys));
  }
  std::optional<Hash> hash;
  if (rest.starts_with(kHashed)) {
    hash = parse_hex(rest.substr(kHashed.size()));
    if (!hash) return findings.error(place, "sha256: is not followed by 64 hexadecimal digits");
  } else if (!consists_of(rest, "-._~+/=")) {
    return findings.error(place, "a key has letters, digits and -._~+/= only, and no blanks");
  } else if (rest.size() < kShortestKey || rest.size() > kLongestKey) {
    return findings.error(place, fmt::format("a key has {} to {} characters; `openssl rand -hex "
                                             "24` makes a good one",
                                             kShortestKey, kLongestKey));
  } else {
    hash = sha256(rest);
  }
  if (std::ranges::find(keys_, *hash, &Key::hash) != keys_.end()) {
    return findings.error(place, "another name has this key already");
  }
  keys_.push_back({name, *hash, 0});
}

void ApiKeys::assign_slots(const ApiKeys* previous) {
  if (previous != nullptr) slot_names_ = previous->slot_names_;
  for (Key& key : keys_) {
    const auto known = std::ranges::find(slot_names_, key.name);
    key.slot = static_cast<std::size_t>(known - slot_names_.begin());
    if (known != slot_names_.end()) continue;
    if (slot_names_.size() < kMostKeys) {
      slot_names_.push_back(key.name);
    } else {
      key.slot = kMaxKeySlots - 1;
    }
  }
}

const ApiKeys::Key* ApiKeys::find(std::string_view authorization) const {
  if (authorization.size() <= kScheme.size() ||
      !http::iequals(authorization.substr(0, kScheme.size()), kScheme)) {
    return nullptr;
  }
  return find_key(trimmed(authorization.substr(kScheme.size())));
}

const ApiKeys::Key* ApiKeys::find_key(std::string_view key) const {
  if (key.size() > kLongestKey) return nullptr;
  const Hash hash = sha256(key);
  const Key* found = nullptr;
  for (const Key& one : keys_) {
    const bool same = CRYPTO_memcmp(one.hash.data(), hash.data(), hash.size()) == 0;
    found = same ? &one : found;
  }
  return found;
}

bool LoadedApiKeys::ok() const {
  return std::ranges::count(diagnostics, Severity::kError, &Diagnostic::severity) == 0;
}

std::vector<std::string> changes_between(const ApiKeys* before, const ApiKeys* after) {
  static const ApiKeys kNone;
  const ApiKeys& old_keys = before != nullptr ? *before : kNone;
  const ApiKeys& new_keys = after != nullptr ? *after : kNone;
  const auto has = [](const ApiKeys& keys, const ApiKeys::Key& wanted, bool same_key) {
    return std::ranges::any_of(keys.all(), [&](const ApiKeys::Key& key) {
      return key.name == wanted.name && (!same_key || key.hash == wanted.hash);
    });
  };
  std::vector<std::string> changes;
  for (const ApiKeys::Key& key : old_keys.all()) {
    if (has(new_keys, key, true)) continue;
    changes.push_back("API key " + key.name +
                      (has(new_keys, key, false) ? ": another one" : ": removed"));
  }
  for (const ApiKeys::Key& key : new_keys.all()) {
    if (!has(old_keys, key, false)) changes.push_back("API key " + key.name + ": added");
  }
  return changes;
}

LoadedApiKeys load_api_keys(const Options& options, const ApiKeys* previous) {
  LoadedApiKeys loaded;
  const std::string& path = *options.proxy.api_keys_file;
  if (path.empty() && options.api_keys.empty()) return loaded;
  Findings findings;
  auto keys = std::make_shared<ApiKeys>();
  if (!path.empty()) {
    if (auto text = read_secret_file(path, findings)) {
      keys->add(*text, path, findings);
      OPENSSL_cleanse(text->data(), text->size());
    }
  }
  keys->add(options.api_keys, std::string(kVariable), findings);
  loaded.diagnostics = std::move(findings).take();
  if (keys->empty() && loaded.ok()) {
    // Keys were meant: an empty file must not open the door.
    Findings none;
    none.error({path.empty() ? std::string(kVariable) : path}, "it holds no API key");
    loaded.diagnostics = std::move(none).take();
  }
  if (!loaded.ok()) return loaded;
  keys->assign_slots(previous);
  loaded.keys = std::move(keys);
  return loaded;
}

}  // namespace batchproxy
