// backends/call/list_codec.cc - see list_codec.h.
#include "backends/call/list_codec.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "backends/json/raw_json.h"
#include "configs/text/number.h"

namespace batchproxy {

namespace ondemand = simdjson::ondemand;

namespace {

struct Field {
  std::string_view key;  // these engines' keys need no escapes
  std::string_view value;
};
using Fields = std::vector<Field>;

std::optional<std::uint64_t> number(std::string_view raw) {
  return number_in<std::uint64_t>(raw);
}

// How many numbers stand in `raw`, which should be a flat array.
std::optional<std::uint64_t> count_tokens(std::string_view raw) {
  if (!raw.starts_with('[')) return std::nullopt;
  if (raw.find_first_of("0123456789") == std::string_view::npos) return 0;
  return static_cast<std::uint64_t>(std::ranges::count(raw, ',')) + 1;
}

// The key as it stands in the document, where it stays valid whatever the parser does next.
simdjson::error_code read_key(ondemand::field& field, std::string_view& key) {
  const char* begin = field.key().raw();
  const char* end = begin;
  while (*end != '"' && *end != '\\') ++end;
  key = std::string_view(begin, static_cast<std::size_t>(end - begin));
  return *end == '"' ? simdjson::SUCCESS : simdjson::STRING_ERROR;
}

simdjson::error_code read_fields(ondemand::object object, Fields& fields) {
  for (auto element : object) {
    ondemand::field field;
    if (auto error = std::move(element).get(field)) return error;
    Field& added = fields.emplace_back();
    if (auto error = read_key(field, added.key)) return error;
    if (auto error = raw_json(field.value(), added.value)) return error;
  }
  return simdjson::SUCCESS;
}

std::string_view find(const Fields& fields, std::string_view key) {
  const auto found = std::ranges::find(fields, key, &Field::key);
  return found == fields.end() ? std::string_view() : found->value;
}

// Writes an object field by field.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
  // Begins a field; its value is the caller's to append.
  std::string& key(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    out_.append("\"").append(key).append("\":");
    return out_;
  }
  void end() { out_ += '}'; }

 private:
  std::string& out_;
  bool first_ = true;
};

struct Choice {
  Fields fields;
  std::uint64_t index = 0;
};

// An answer with a list of choices, taken apart.
struct ListAnswer {
  Fields fields;
  std::vector<Choice> choices;  // by index
  std::optional<Fields> usage;  // absent, or not an object: passed on as it is
};

// The values are views into `answer`.
std::optional<ListAnswer> read_answer(AnswerChecker& checker, ondemand::parser& parser,
                                      std::string_view answer) {
  // Values are passed on as they stand: what is not JSON must not get that far.
  if (!checker.is_whole_object(answer)) return std::nullopt;
  ListAnswer read;
  bool saw_choices = false;
  const simdjson::padded_string_view text(answer.data(), answer.size(),
                                          answer.size() + simdjson::SIMDJSON_PADDING);
  ondemand::document document;
  ondemand::object object;
  if (parser.iterate(text).get(document) || document.get_object().get(object)) return std::nullopt;
  for (auto element : object) {
    ondemand::field field;
    Field& added = read.fields.emplace_back();
    if (std::move(element).get(field) || read_key(field, added.key)) return std::nullopt;
    const std::string_view key = added.key;
    ondemand::value& value = field.value();
    if (key == "choices") {
      ondemand::array choices;
      if (std::exchange(saw_choices, true)) return std::nullopt;  // which ones would count?
      if (value.get_array().get(choices)) return std::nullopt;
      for (auto each : choices) {
        ondemand::object choice;
        if (each.get_object().get(choice)) return std::nullopt;
        if (read_fields(choice, read.choices.emplace_back().fields)) return std::nullopt;
        const auto index = number(find(read.choices.back().fields, "index"));
        if (!index) return std::nullopt;
        read.choices.back().index = *index;
      }
    } else if (ondemand::object usage;
               key == "usage" && value.get_object().get(usage) == simdjson::SUCCESS) {
      if (read_fields(usage, read.usage.emplace())) return std::nullopt;
    } else if (raw_json(value, added.value)) {
      return std::nullopt;
    }
  }
  std::ranges::sort(read.choices, {}, &Choice::index);
  return read;
}

bool has_choices(const ListAnswer& answer, std::size_t count) {
  if (answer.choices.size() != count) return false;
  for (std::size_t i = 0; i < count; ++i) {
    if (answer.choices[i].index != i) return false;
  }
  return true;
}

struct Usage {
  std::uint64_t prompt = 0;
  std::uint64_t completion = 0;
};

std::optional<Usage> exact_usage(const Choice& choice) {
  const auto prompt = count_tokens(find(choice.fields, "prompt_token_ids"));
  const auto completion = count_tokens(find(choice.fields, "token_ids"));
  if (!prompt || !completion) return std::nullopt;
  return Usage{*prompt, *completion};
}

// Shares `sum` out in proportion to `weights`, to the last unit.
std::vector<std::uint64_t> apportion(std::uint64_t sum, std::span<const std::size_t> weights) {
  sum = std::min(sum, std::uint64_t{1} << 53);  // what a double counts exactly
  const double total = std::max(
      1.0, static_cast<double>(std::accumulate(weights.begin(), weights.end(), std::size_t{0})));
  std::vector<std::uint64_t> shares;
  double upto = 0;
  std::uint64_t given = 0;
  for (const std::size_t weight : weights) {
    upto += static_cast<double>(weight);
    const auto until = static_cast<std::uint64_t>(static_cast<double>(sum) * upto / total + 0.5);
    shares.push_back(until - given);
    given = until;
  }
  return shares;
}

std::vector<Usage> shares_of(const Fields& usage, std::span<const std::size_t> prompt_bytes) {
  const auto prompt = apportion(number(find(usage, "prompt_tokens")).value_or(0), prompt_bytes);
  const std::vector<std::size_t> equal(prompt_bytes.size(), 1);
  const auto completion = apportion(number(find(usage, "completion_tokens")).value_or(0), equal);
  std::vector<Usage> shares;
  for (std::size_t i = 0; i < prompt.size(); ++i) shares.push_back({prompt[i], completion[i]});
  return shares;
}

void write_usage(std::string& out, const Fields& like, const Usage& usage) {
  ObjectWriter object(out);
  for (const Field& field : like) {
    std::string& value = object.key(field.key);
    if (field.key == "prompt_tokens") {
      value += std::to_string(usage.prompt);
    } else if (field.key == "completion_tokens") {
      value += std::to_string(usage.completion);
    } else if (field.key == "total_tokens") {
      value += std::to_string(usage.prompt + usage.completion);
    } else {
      value += "null";  // details, that are known of the sum alone
    }
  }
  object.end();
}

void write_choice(std::string& out, const Choice& choice, std::uint64_t index, bool hide_tokens) {
  ObjectWriter object(out);
  for (const Field& field : choice.fields) {
    std::string& value = object.key(field.key);
    if (field.key == "index") {
      value += std::to_string(index);
    } else if (hide_tokens && (field.key == "token_ids" || field.key == "prompt_token_ids")) {
      value += "null";
    } else {
      value += field.value;
    }
  }
  object.end();
}

}  // namespace

BodyParts BodyParts::cut(std::string_view body, std::string_view prompt) {
  const auto begin = static_cast<std::size_t>(prompt.data() - body.data());
  return {body.substr(0, begin), prompt, body.substr(begin + prompt.size())};
}

std::string merge(std::span<const BodyParts> members, bool ask_token_ids) {
  constexpr std::string_view kAsk = "\"return_token_ids\":true,";
  const BodyParts& first = members.front();
  std::size_t size = first.before.size() + first.after.size() + kAsk.size() + 2;
  for (const BodyParts& member : members) size += member.prompt.size() + 1;
  std::string body;
  body.reserve(size);
  body = first.before;
  if (ask_token_ids) body.insert(body.find('{') + 1, kAsk);
  body += '[';
  for (const BodyParts& member : members) {
    if (&member != &first) body += ',';
    body += member.prompt;
  }
  body += ']';
  body += first.after;
  return body;
}

std::optional<std::vector<UnmergedAnswer>> ListReader::unmerge(
    std::string_view answer, std::span<const std::size_t> prompt_bytes) {
  const auto list = read_answer(checker_, parser_, answer);
  if (!list || !has_choices(*list, prompt_bytes.size())) return std::nullopt;
  std::vector<Usage> usages;
  for (const Choice& choice : list->choices) {
    if (const auto usage = exact_usage(choice)) usages.push_back(*usage);
  }
  const bool exact = usages.size() == list->choices.size();
  if (!exact) usages = shares_of(list->usage.value_or(Fields()), prompt_bytes);

  std::vector<UnmergedAnswer> answers(list->choices.size());
  for (std::size_t i = 0; i < answers.size(); ++i) {
    answers[i].exact_usage = exact;
    std::string& out = answers[i].body;
    out.reserve(answer.size() / answers.size() + 256);
    ObjectWriter object(out);
    for (const Field& field : list->fields) {
      std::string& value = object.key(field.key);
      if (field.key == "choices") {
        value += '[';
        write_choice(value, list->choices[i], 0, true);
        value += ']';
      } else if (field.key == "usage" && list->usage) {
        write_usage(value, *list->usage, usages[i]);
      } else if (field.key == "id" && field.value.ends_with('"')) {
        // An answer's id is its own.
        value.append(field.value.substr(0, field.value.size() - 1));
        value.append("-").append(std::to_string(i)).append("\"");
      } else {
        value += field.value;
      }
    }
    object.end();
  }
  return answers;
}

std::optional<std::string> ListReader::gather(std::span<const Piece> pieces,
                                              std::uint32_t choices) {
  std::vector<ListAnswer> answers;
  for (const Piece& piece : pieces) {
    auto answer = read_answer(checker_, parser_, piece.answer);
    if (!answer || !has_choices(*answer, std::size_t{piece.prompts} * choices)) return std::nullopt;
    answers.push_back(*std::move(answer));
  }
  std::string out;
  ObjectWriter object(out);
  for (const Field& field : answers.front().fields) {
    std::string& value = object.key(field.key);
    if (field.key == "choices") {
      value += '[';
      for (std::size_t i = 0; i < pieces.size(); ++i) {
        const std::uint64_t before = std::uint64_t{pieces[i].first_prompt} * choices;
        for (const Choice& choice : answers[i].choices) {
          if (!value.ends_with('[')) value += ',';
          write_choice(value, choice, before + choice.index, false);
        }
      }
      value += ']';
    } else if (field.key == "usage" && answers.front().usage) {
      ObjectWriter usage(value);
      for (const Field& part : *answers.front().usage) {
        std::uint64_t sum = 0;
        bool countable = true;
        for (const ListAnswer& answer : answers) {
          const auto n = number(find(answer.usage.value_or(Fields()), part.key));
          countable = countable && n.has_value();
          sum += n.value_or(0);
        }
        std::string& sum_or_value = usage.key(part.key);
        if (countable) {
          sum_or_value += std::to_string(sum);
        } else {
          sum_or_value += part.value.starts_with('{') ? std::string_view("null") : part.value;
        }
      }
      usage.end();
    } else {
      value += field.value;
    }
  }
  object.end();
  return out;
}

}  // namespace batchproxy
