// proxy/jobs/answer_packing.cc - see answer_packing.h.
#include "proxy/jobs/answer_packing.h"

#include <memory>
#include <stdexcept>

#include <zstd.h>

namespace batchproxy {

namespace {

constexpr char kDictionaryOne = '1';
constexpr int kLevel = 3;
constexpr std::size_t kMaxAnswer = std::size_t{1} << 30;

// The answers of /v1/embeddings, /v1/completions and /v1/chat/completions, the most frequent last:
// nearer words cost less.
constexpr std::string_view kUsualAnswers =
    R"({"object":"list","data":[{"index":0,"object":"embedding","embedding":[)"
    R"({"id":"cmpl-0123456789abcdef","object":"text_completion","created":1700000000,"model":"",)"
    R"("choices":[{"index":0,"text":" A","logprobs":null,"finish_reason":"stop","stop_reason":null,)"
    R"("token_ids":null,"prompt_logprobs":null,"prompt_token_ids":null}],"service_tier":null,)"
    R"("system_fingerprint":null,"usage":{"prompt_tokens":100,"total_tokens":108,)"
    R"("completion_tokens":8,"prompt_tokens_details":null},"kv_transfer_params":null})"
    R"({"id":"chatcmpl-0123456789abcdef","object":"chat.completion","created":1700000000,)"
    R"("model":"","choices":[{"index":0,"message":{"role":"assistant","content":"A","refusal":null,)"
    R"("annotations":null,"audio":null,"function_call":null,"tool_calls":[],"reasoning":null,)"
    R"("reasoning_content":null},"logprobs":null,"finish_reason":"length","stop_reason":null,)"
    R"("token_ids":null}],"service_tier":null,"system_fingerprint":null,"usage":{"prompt_tokens":)"
    R"(100,"total_tokens":108,"completion_tokens":8,"prompt_tokens_details":null},)"
    R"("prompt_logprobs":null,"prompt_token_ids":null,"kv_transfer_params":null})";

template <auto free>
struct Free {
  template <class T>
  void operator()(T* made) const {
    free(made);
  }
};
using Compressor = std::unique_ptr<ZSTD_CCtx, Free<ZSTD_freeCCtx>>;
using Decompressor = std::unique_ptr<ZSTD_DCtx, Free<ZSTD_freeDCtx>>;

const ZSTD_CDict* compression_dictionary() {
  static const std::unique_ptr<ZSTD_CDict, Free<ZSTD_freeCDict>> made(
      ZSTD_createCDict(kUsualAnswers.data(), kUsualAnswers.size(), kLevel));
  return made.get();
}

const ZSTD_DDict* decompression_dictionary() {
  static const std::unique_ptr<ZSTD_DDict, Free<ZSTD_freeDDict>> made(
      ZSTD_createDDict(kUsualAnswers.data(), kUsualAnswers.size()));
  return made.get();
}

}  // namespace

std::string pack_answer(std::string_view answer) {
  thread_local const Compressor context(ZSTD_createCCtx());
  std::string packed(1 + ZSTD_compressBound(answer.size()), kDictionaryOne);
  const std::size_t size =
      ZSTD_compress_usingCDict(context.get(), packed.data() + 1, packed.size() - 1, answer.data(),
                               answer.size(), compression_dictionary());
  if (ZSTD_isError(size) != 0) throw std::runtime_error("zstd cannot compress an answer");
  packed.resize(1 + size);
  return packed;
}

std::optional<std::string> unpack_answer(std::string_view packed) {
  if (packed.empty() || packed.front() != kDictionaryOne) return std::nullopt;
  packed.remove_prefix(1);
  const unsigned long long size = ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size > kMaxAnswer) return std::nullopt;  // also what stands for unknown, and for an error
  thread_local const Decompressor context(ZSTD_createDCtx());
  std::string answer(size, '\0');
  const std::size_t got =
      ZSTD_decompress_usingDDict(context.get(), answer.data(), answer.size(), packed.data(),
                                 packed.size(), decompression_dictionary());
  if (got != size) return std::nullopt;
  return answer;
}

}  // namespace batchproxy
