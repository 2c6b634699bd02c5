// backends/sim/flags.cc - the table of flags and how their values are read.
#include "backends/sim/flags.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <system_error>

#include "backends/sim/failure.h"
#include "configs/text/number.h"

namespace batchproxy::sim {
namespace {

using Values = std::span<const std::string>;

enum class Takes : std::uint8_t { kNothing, kOne, kMany };

struct Flag {
  std::string_view name;
  Takes takes;
  std::string_view help;
  void (*set)(SimFlags& flags, Values values);
};

double real(const std::string& text, double least, double most) {
  const auto value = number_in<double>(text);
  if (!value || !(*value >= least) || *value > most) {
    throw UsageError("invalid value: '" + text + "'");
  }
  return *value;
}

// vLLM's human-readable integers: 8k is 8000, 8K is 8192, and so on.
std::int64_t integer(const std::string& text, std::int64_t least, std::int64_t most) {
  constexpr std::string_view kSuffixes = "kmgKMG";
  double unit = 1;
  std::string digits = text;
  const std::size_t suffix = text.empty() ? std::string_view::npos : kSuffixes.find(text.back());
  if (suffix != std::string_view::npos) {
    digits.pop_back();
    unit = std::pow(suffix < 3 ? 1000.0 : 1024.0, static_cast<double>(suffix % 3 + 1));
  }
  const double value = real(digits, -1e15, 1e15) * unit;
  if (value != std::floor(value) || value < static_cast<double>(least) ||
      value > static_cast<double>(most)) {
    throw UsageError("invalid value: '" + text + "'");
  }
  return static_cast<std::int64_t>(value);
}

int count(const std::string& text) {
  return static_cast<int>(integer(text, 1, std::numeric_limits<int>::max()));
}

std::vector<std::string> list(Values values) {
  return {values.begin(), values.end()};
}

std::optional<int> model_len(const std::string& text) {
  if (text == "auto" || text == "-1") return std::nullopt;
  return count(text);
}

AnswerMode answer_mode(const std::string& text) {
  if (text == "letters") return AnswerMode::kLetters;
  if (text == "sha256") return AnswerMode::kSha256;
  throw UsageError("invalid choice: '" + text + "' (choose from letters, sha256)");
}

bool is_pooling(const std::string& text) {
  if (text != "auto" && text != "generate" && text != "pooling") {
    throw UsageError("invalid choice: '" + text + "' (choose from auto, generate, pooling)");
  }
  return text == "pooling";
}

// That of failure.cc.
std::string failure(const std::string& text) {
  const std::vector<std::string_view> words = failure_words();
  if (std::ranges::find(words, text) != words.end()) return text;
  std::string choices;
  for (const std::string_view word : words) {
    choices += (choices.empty() ? "" : ", ") + std::string(word);
  }
  throw UsageError("invalid choice: '" + text + "' (choose from " + choices + ")");
}

constexpr auto kMost = std::numeric_limits<std::int64_t>::max() / 2;

constexpr Flag kFlags[] = {
    {"model", Takes::kOne, "model name", [](SimFlags& f, Values v) { f.model = v[0]; }},
    {"host", Takes::kOne, "address to listen on", [](SimFlags& f, Values v) { f.host = v[0]; }},
    {"port", Takes::kOne, "port to listen on; 0 takes a free one",
     [](SimFlags& f, Values v) { f.port = static_cast<std::uint16_t>(integer(v[0], 0, 65535)); }},
    {"served-model-name", Takes::kMany, "names to answer to",
     [](SimFlags& f, Values v) { f.served_names = list(v); }},
    {"api-key", Takes::kMany, "keys that may call /v1",
     [](SimFlags& f, Values v) { f.api_keys = list(v); }},
    {"tensor-parallel-size", Takes::kOne, "1, 2, 4 or 8 GPUs",
     [](SimFlags& f, Values v) { f.tensor_parallel_size = count(v[0]); }},
    {"pipeline-parallel-size", Takes::kOne, "stages; they add memory, not speed",
     [](SimFlags& f, Values v) { f.pipeline_parallel_size = count(v[0]); }},
    {"max-model-len", Takes::kOne, "longest prompt and answer together, in tokens",
     [](SimFlags& f, Values v) {
       f.max_model_len = model_len(v[0]);
       f.fits_model_len = !f.max_model_len;
     }},
    {"kv-cache-dtype", Takes::kOne, "auto, or fp8: half the memory for a token",
     [](SimFlags& f, Values v) { f.is_kv_fp8 = v[0].starts_with("fp8"); }},
    {"max-num-seqs", Takes::kOne, "most running requests",
     [](SimFlags& f, Values v) { f.max_num_seqs = count(v[0]); }},
    {"max-num-batched-tokens", Takes::kOne, "most tokens of one step",
     [](SimFlags& f, Values v) { f.max_num_batched_tokens = count(v[0]); }},
    {"gpu-memory-utilization", Takes::kOne, "share of GPU memory to use",
     [](SimFlags& f, Values v) { f.gpu_memory_utilization = real(v[0], 0, 1); }},
    {"enable-prefix-caching", Takes::kNothing, "reuse the KV cache of equal beginnings (default)",
     [](SimFlags& f, Values) { f.prefix_caching = true; }},
    {"no-enable-prefix-caching", Takes::kNothing, "never reuse it",
     [](SimFlags& f, Values) { f.prefix_caching = false; }},
    {"runner", Takes::kOne, "auto, generate (both answer prompts), or pooling (embeds and scores)",
     [](SimFlags& f, Values v) { f.pooling = is_pooling(v[0]); }},
    {"enable-tokenizer-info-endpoint", Takes::kNothing, "serve /tokenizer_info",
     [](SimFlags& f, Values) { f.tokenizer_info = true; }},
    {"sim-hardware", Takes::kOne, "a100 (default) or h100",
     [](SimFlags& f, Values v) { f.gpu = parse_gpu(v[0]); }},
    {"sim-time-scale", Takes::kOne, "real seconds per simulated second (1)",
     [](SimFlags& f, Values v) { f.time_scale = real(v[0], 1e-6, 1e6); }},
    {"sim-load-time", Takes::kOne, "seconds until the server listens (0.3)",
     [](SimFlags& f, Values v) { f.load_seconds = real(v[0], 0, 1e6); }},
    {"sim-call-cost", Takes::kOne, "seconds of API server time per HTTP call (0.001)",
     [](SimFlags& f, Values v) { f.costs.per_call = real(v[0], 0, 1e3); }},
    {"sim-prompt-cost", Takes::kOne, "the same per prompt (0.001)",
     [](SimFlags& f, Values v) { f.costs.per_prompt = real(v[0], 0, 1e3); }},
    {"sim-token-cost", Takes::kOne, "the same per output token (0.00002)",
     [](SimFlags& f, Values v) { f.costs.per_token = real(v[0], 0, 1e3); }},
    {"sim-answer", Takes::kOne, "letters (default) or sha256 of the prompt",
     [](SimFlags& f, Values v) { f.answer_mode = answer_mode(v[0]); }},
    {"sim-without-token-ids", Takes::kNothing,
     "ignore return_token_ids, as vLLM before 0.10.2 does",
     [](SimFlags& f, Values) { f.token_ids = false; }},
    {"sim-crash-after", Takes::kOne, "end with code 1 at the n-th generation call",
     [](SimFlags& f, Values v) {
       f.crash_after = static_cast<std::uint64_t>(integer(v[0], 0, kMost));
     }},
    {"sim-die-after", Takes::kOne,
     "at the n-th generation call answer all 500, as vLLM when its engine has died, and end",
     [](SimFlags& f, Values v) {
       f.die_after = static_cast<std::uint64_t>(integer(v[0], 0, kMost));
     }},
    {"sim-hang-after", Takes::kOne, "stop answering at the n-th generation call",
     [](SimFlags& f, Values v) {
       f.hang_after = static_cast<std::uint64_t>(integer(v[0], 0, kMost));
     }},
    {"sim-kv-memory", Takes::kOne, "GiB for the KV cache on each GPU, such as 4.85GiB",
     [](SimFlags& f, Values v) { f.kv_memory_gib = parse_gib(v[0]); }},
    {"sim-model-shape", Takes::kOne,
     "layers,kv_heads,head_dim,bytes; absent: that of MODEL/config.json, or 32,32,128,2",
     [](SimFlags& f, Values v) { f.shape = parse_model_shape(v[0]); }},
    {"sim-vllm-version", Takes::kOne, "whose words and arithmetic, such as 0.33 (0.32)",
     [](SimFlags& f, Values v) { f.version = parse_vllm_version(v[0]); }},
    {"sim-fail", Takes::kOne,
     "fail while loading, unless a flag or variable prevents it as with vLLM: oom-load, "
     "oom-profile, oom-capture, mamba-blocks, port-taken, hang-loading ...",
     [](SimFlags& f, Values v) { f.fail = failure(v[0]); }},
    {"sim-fail-once", Takes::kOne, "a file: fail only while it is not there, and make it",
     [](SimFlags& f, Values v) { f.fail_once = v[0]; }},
    {"help", Takes::kNothing, "print this", [](SimFlags& f, Values) { f.help = true; }},
};

bool is_flag(const std::string& argument) {
  return argument.size() > 1 && argument[0] == '-' &&
         (argument[1] == '-' || argument[1] < '0' || argument[1] > '9');
}

std::string canonical(std::string name) {
  if (name == "-tp") return "tensor-parallel-size";
  if (name == "-pp") return "pipeline-parallel-size";
  if (name == "-h") return "help";
  name.erase(0, name.find_first_not_of('-'));
  std::ranges::replace(name, '_', '-');
  return name;
}

void apply(const Flag& flag, const std::string& written, Values values, SimFlags& flags) {
  if (flag.takes != Takes::kNothing && values.empty()) {
    throw UsageError("argument " + written + ": expected an argument");
  }
  try {
    flag.set(flags, values);
  } catch (const std::invalid_argument& error) {
    throw UsageError("argument " + written + ": " + error.what());
  }
}

}  // namespace

SimFlags parse_sim_flags(std::span<const std::string> arguments) {
  SimFlags flags;
  std::size_t at = 0;
  // The arguments up to the next flag, at most `most` of them.
  const auto take_values = [&](std::size_t most) {
    const std::size_t begin = at;
    while (at < arguments.size() && at - begin < most && !is_flag(arguments[at])) ++at;
    return arguments.subspan(begin, at - begin);
  };
  while (at < arguments.size()) {
    const std::string& argument = arguments[at++];
    if (!is_flag(argument)) {
      if (!flags.model.empty()) throw UsageError("unrecognized arguments: " + argument);
      flags.model = argument;
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string written = argument.substr(0, equals);
    const auto flag = std::ranges::find(kFlags, canonical(written), &Flag::name);
    if (flag == std::end(kFlags)) {
      flags.ignored.push_back(argument);
      if (equals == std::string::npos) {
        for (const std::string& value : take_values(arguments.size())) {
          flags.ignored.push_back(value);
        }
      }
    } else if (equals != std::string::npos) {
      const std::string value = argument.substr(equals + 1);
      apply(*flag, written, {&value, 1}, flags);
    } else {
      const std::size_t most = flag->takes == Takes::kNothing ? 0
                               : flag->takes == Takes::kOne   ? 1
                                                              : arguments.size();
      apply(*flag, written, take_values(most), flags);
    }
  }
  if (flags.model.empty() && !flags.help) {
    throw UsageError("the following arguments are required: model");
  }
  if (flags.served_names.empty()) flags.served_names = {flags.model};
  return flags;
}

std::string sim_usage() {
  std::string text =
      "usage: batchproxy sim-engine MODEL [flags]\n\n"
      "A simulated vLLM server. Flags of `vllm serve` that are not listed are ignored.\n\n";
  for (const Flag& flag : kFlags) {
    std::string name = "  --" + std::string(flag.name);
    name.resize(std::max<std::size_t>(name.size() + 1, 30), ' ');
    text += name + std::string(flag.help) + "\n";
  }
  text +=
      "\nExamples:\n"
      "  batchproxy sim-engine my/model --port 8101\n"
      "  batchproxy sim-engine my/model -tp 2 --sim-hardware h100 --sim-time-scale 0.1\n";
  return text;
}

}  // namespace batchproxy::sim
