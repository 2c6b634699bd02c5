// backends/health/health_path.h - HealthPath: which path tells that a backend lives. Decides from
// what it has answered before, since not every server has GET /health.
//
// Sans-io. A look asks what begin() says, then what on_answer() says, until that knows. It asks
//
//   `health_path`        alone, where the configuration names one;
//   /health              else, at first;
//   /v1/models           where that is missing (Ollama);
//   either               where both are, and its models are configured: any answer is life (mosec);
//   /health/liveliness   once it has shown that it is a LiteLLM, whose /health costs a completion
//                        of each of its models. Nobody else is asked for it.
//
// No look asks for /health twice, so every look ends.
//
// Threading: confined to the control thread.
#pragma once

#include <string>
#include <string_view>

namespace batchproxy {

// The answer to a path that a server does not have: 404, 405 or 501.
bool is_missing(unsigned status);

class HealthPath {
 public:
  // The configuration of one backend, as far as it matters here.
  struct Known {
    std::string path{};       // its `health_path`
    bool has_models = false;  // what it serves
    bool has_key = false;
  };
  struct Finding {
    enum class Kind { kAsk, kAlive, kNotReady };
    Kind kind;
    std::string text{};  // the path to ask, or what is wrong
  };

  // The first path of a look.
  std::string begin(Known known);
  // The path that was asked last has been answered. Whoever gets no answer at all ends the look.
  Finding on_answer(unsigned status, std::string_view body);
  // The backend has been down: another server may come up in its place. That it was a LiteLLM is
  // still tried first, since that costs nothing.
  void forget();

 private:
  // The path that tells whether the backend lives, as far as is known.
  enum class Sign { kHealth, kModels, kAnyAnswer, kLiveliness };

  Finding ask(std::string_view path);
  Finding alive(Sign sign);
  Finding on_configured(unsigned status);
  Finding on_health(unsigned status, std::string_view body);
  Finding on_models(unsigned status);
  Finding on_liveliness(unsigned status, std::string_view body);
  Finding not_ready(unsigned status) const;

  Known known_;
  Sign sign_ = Sign::kHealth;
  std::string asked_;           // last
  unsigned health_status_ = 0;  // what /health has answered in this look, if it was asked
};

}  // namespace batchproxy
