// proxy/files/query.cc - see query.h.
#include "proxy/files/query.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "configs/text/number.h"

namespace batchproxy {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 32);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (text[i] == '%' && high >= 0 && low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> query_values(std::string_view target) {
  std::vector<std::pair<std::string, std::string>> values;
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return values;
  std::string_view query = target.substr(mark + 1);
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    values.emplace_back(decoded(pair.substr(0, equals)),
                        decoded(pair.substr(std::min(equals + 1, pair.size()))));
  }
  return values;
}

std::optional<std::string> query_value(std::string_view target, std::string_view name) {
  for (auto& [key, value] : query_values(target)) {
    if (key == name) return std::move(value);
  }
  return std::nullopt;
}

Result<PageWanted> page_wanted(std::string_view target, std::int64_t usual, std::int64_t most) {
  PageWanted page;
  page.limit = usual;
  if (const auto limit = query_value(target, "limit")) {
    const auto number = number_in<std::int64_t>(*limit);
    if (!number || *number < 1 || *number > most) {
      return Error{Errc::kInvalidRequest, fmt::format("limit must be a number from 1 to {}.", most),
                   "limit"};
    }
    page.limit = *number;
  }
  page.after = query_value(target, "after").value_or("");
  const std::string order = query_value(target, "order").value_or("desc");
  if (order != "asc" && order != "desc") {
    return Error{Errc::kInvalidRequest, "order must be asc or desc.", "order"};
  }
  page.ascending = order == "asc";
  return page;
}

}  // namespace batchproxy
