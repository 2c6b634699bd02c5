// tests/fuzz/batch_fuzz.cc - requests merged into one call, and its answer taken apart: each member
// gets exactly its own text, or nobody gets any.
//
// Input: what to do to the answer, how to order it, and parts between 0xff bytes: the bodies' bytes
// before and after the prompt, an answer, and prompts.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <simdjson.h>

#include "backends/call/list_codec.h"
#include "backends/json/body_scan.h"

namespace {

using namespace batchproxy;
namespace dom = simdjson::dom;

void require(bool truth) {
  if (!truth) std::abort();
}

// Bytes with the slack behind them that parsers want: on the heap, so that more is noticed.
class Padded {
 public:
  explicit Padded(std::string_view text)
      : size_(text.size()), bytes_(std::make_unique<char[]>(size_ + simdjson::SIMDJSON_PADDING)) {
    if (size_ > 0) std::memcpy(bytes_.get(), text.data(), size_);
  }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<char[]> bytes_;
};

std::vector<std::string_view> split(std::string_view bytes) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = bytes.find('\xff');
    parts.push_back(bytes.substr(0, end));
    if (end == std::string_view::npos) return parts;
    bytes.remove_prefix(end + 1);
  }
}

std::string json_of(const dom::element& element) {
  return simdjson::minify(element);
}

// The prompts of a body that is JSON; `parser` keeps it.
simdjson::error_code read_prompts(dom::parser& parser, std::string_view body,
                                  std::vector<std::string>& prompts) {
  dom::element document;
  if (auto error = parser.parse(body.data(), body.size()).get(document)) return error;
  dom::array list;
  require(!document["prompt"].get_array().get(list));
  for (const dom::element prompt : list) prompts.push_back(json_of(prompt));
  return simdjson::SUCCESS;
}

void check_merge(dom::parser& parser, const std::vector<BodyParts>& members, bool ask) {
  std::vector<std::string> wanted;
  bool all_json = true;
  for (const BodyParts& member : members) {
    dom::element prompt;
    const auto error = parser.parse(simdjson::padded_string(member.prompt)).get(prompt);
    wanted.push_back(error ? std::string() : json_of(prompt));
    std::string body(member.before);
    body.append(member.prompt).append(member.after);
    dom::element ignored;
    all_json = all_json && !error && !parser.parse(body).get(ignored);
  }
  std::vector<std::string> found;
  const std::string body = merge(members, ask);
  const auto error = read_prompts(parser, body, found);
  // One level deeper than its members were.
  if (error == simdjson::DEPTH_ERROR) return;
  if (all_json) require(!error);
  // One member's bytes never become another's, or two.
  if (!error) require(found == wanted);
}

std::string choice(const std::string& index, std::size_t member, bool tokens) {
  std::string out = "{\"index\":" + index + ",\"text\":\"\\u0041 " + std::to_string(member) + "\"";
  if (tokens) out += ",\"token_ids\":[1, 2],\"prompt_token_ids\":[3]";
  return out + ",\"finish_reason\":\"length\"}";
}

std::string text_of(dom::parser& parser, std::string_view answer, std::size_t count,
                    std::size_t at) {
  dom::element document;
  dom::array choices;
  require(!parser.parse(answer.data(), answer.size()).get(document));
  require(!document["choices"].get_array().get(choices));
  require(choices.size() == count);
  std::uint64_t index = 0;
  std::string_view text;
  require(!choices.at(at)["index"].get_uint64().get(index) && index == at);
  require(!choices.at(at)["text"].get_string().get(text));
  return std::string(text);
}

// An answer with one choice for each of `sizes`, in an order and with a fault as the bytes say.
void check_answer(dom::parser& parser, ListReader& reader, std::uint8_t fault, std::uint8_t order,
                  const std::vector<std::size_t>& sizes) {
  const std::size_t count = sizes.size();
  std::vector<std::string> choices;
  for (std::size_t i = 0; i < count; ++i) {
    choices.push_back(choice(std::to_string(i), i, (fault & 0x10) != 0));
  }
  const std::size_t at = order % count;
  switch (fault % 8) {
    case 1:
      choices.erase(choices.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 2:
      choices.push_back(choices[at]);
      break;
    case 3:
      choices[at] = choice(std::to_string(count), at, true);
      break;
    case 4:
      choices[at] = choice(at == 0 ? "1" : "0", at, false);
      break;
    case 5:
      choices[at] = choice("\"" + std::to_string(at) + "\"", at, false);
      break;
    case 6:
      choices[at] = choice("18446744073709551616", at, false);
      break;
    case 7:
      choices[at] = "{\"text\":\"x\"}";
      break;
  }
  const auto first = static_cast<std::ptrdiff_t>(order % std::max<std::size_t>(choices.size(), 1));
  std::rotate(choices.begin(), choices.begin() + first, choices.end());
  if (order & 1) std::ranges::reverse(choices);
  std::string answer = "{\"id\":\"c\",\"choices\":[";
  for (const std::string& each : choices) answer += (answer.ends_with('[') ? "" : ",") + each;
  answer += "],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}}";

  const Padded padded(answer);
  const auto unmerged = reader.unmerge(padded.view(), sizes);
  require(unmerged.has_value() == (fault % 8 == 0));
  if (!unmerged) return;
  require(unmerged->size() == count);
  std::vector<Padded> kept;
  std::vector<ListReader::Piece> pieces;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string own = "A " + std::to_string(i);
    require(text_of(parser, (*unmerged)[i].body, 1, 0) == own);
    kept.emplace_back((*unmerged)[i].body);
  }
  for (std::size_t i = 0; i < count; ++i) {
    pieces.push_back({kept[i].view(), static_cast<std::uint32_t>(i), 1});
  }
  const auto gathered = reader.gather(pieces, 1);
  require(gathered.has_value());
  for (std::size_t i = 0; i < count; ++i) {
    require(text_of(parser, *gathered, count, i) == "A " + std::to_string(i));
  }
}

// The raw choices of an answer by their index; empty when it is not plain which is whose.
std::vector<std::string> choices_of(dom::parser& parser, std::string_view answer) {
  dom::element document;
  dom::array choices;
  std::vector<std::string> found;
  if (parser.parse(answer.data(), answer.size()).get(document)) return found;
  if (document["choices"].get_array().get(choices)) return found;
  found.resize(choices.size());
  for (const dom::element each : choices) {
    std::uint64_t index = 0;
    std::string_view text;
    if (each["index"].get_uint64().get(index) || index >= found.size()) return {};
    if (each["text"].get_string().get(text)) return {};
    found[index] = text;
  }
  return found;
}

void check_any_answer(dom::parser& parser, ListReader& reader, std::string_view answer,
                      const std::vector<std::size_t>& sizes) {
  const Padded padded(answer);
  const std::vector<std::string> texts = choices_of(parser, answer);
  const auto unmerged = reader.unmerge(padded.view(), sizes);
  if (unmerged) {
    require(unmerged->size() == sizes.size());
    for (std::size_t i = 0; i < sizes.size() && texts.size() == sizes.size(); ++i) {
      require(text_of(parser, (*unmerged)[i].body, 1, 0) == texts[i]);
    }
  }
  const ListReader::Piece piece{padded.view(), 0, static_cast<std::uint32_t>(sizes.size())};
  const auto gathered = reader.gather(std::span(&piece, 1), 1);
  require(gathered.has_value() == unmerged.has_value());
  for (std::size_t i = 0; gathered && i < sizes.size() && texts.size() == sizes.size(); ++i) {
    require(text_of(parser, *gathered, sizes.size(), i) == texts[i]);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static BodyScanner scanner;
  static ListReader reader;
  static dom::parser parser;
  const auto parts = split({reinterpret_cast<const char*>(data) + 2, size - 2});
  if (parts.size() < 4) return 0;

  std::vector<Padded> bodies;
  std::vector<BodyParts> members;
  std::vector<std::size_t> sizes;
  for (std::size_t i = 3; i < std::min<std::size_t>(parts.size(), 20); ++i) {
    std::string body(parts[0]);
    body.append(parts[i]).append(parts[1]);
    bodies.emplace_back(body);
    const std::string_view text = bodies.back().view();
    const auto scan = scanner.scan(text, BodyKind::kCompletion);
    if (!scan) continue;
    require(scan->prompts > 0);
    if (scan->mergeable != Mergeable::kCompletion) continue;
    require(scan->prompt.data() >= text.data() && !scan->prompt.empty());
    require(scan->prompt.data() + scan->prompt.size() <= text.data() + text.size());
    const BodyParts cut = BodyParts::cut(text, scan->prompt);
    const bool fits = members.empty() ||
                      (cut.before == members.front().before && cut.after == members.front().after);
    if (!fits) continue;
    members.push_back(cut);
    sizes.push_back(cut.prompt.size());
  }
  if (!members.empty()) {
    check_merge(parser, members, (data[1] & 2) != 0);
    check_answer(parser, reader, data[0], data[1], sizes);
  }
  if (sizes.empty()) sizes.push_back(1);
  check_any_answer(parser, reader, parts[2], sizes);
  return 0;
}
