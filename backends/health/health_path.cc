// backends/health/health_path.cc - see health_path.h.
#include "backends/health/health_path.h"

#include <utility>

namespace batchproxy {

namespace {

constexpr std::string_view kHealth = "/health";
constexpr std::string_view kModels = "/v1/models";
constexpr std::string_view kLiveliness = "/health/liveliness";

bool is_success(unsigned status) {
  return status / 100 == 2;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// By its report on its models, or by the way it refuses who has no key.
bool is_litellm(unsigned status, std::string_view body) {
  return contains(body, "\"healthy_endpoints\"") ||
         (!is_success(status) && contains(body, "\"auth_error\""));
}

// A gateway whose server is down says so with one of the others.
bool is_life(unsigned status) {
  return status < 500 || is_missing(status);
}

}  // namespace

bool is_missing(unsigned status) {
  return status == 404 || status == 405 || status == 501;
}

std::string HealthPath::begin(Known known) {
  known_ = std::move(known);
  health_status_ = 0;
  if (sign_ == Sign::kAnyAnswer && !known_.has_models) sign_ = Sign::kHealth;
  if (!known_.path.empty()) return ask(known_.path).text;
  if (sign_ == Sign::kModels) return ask(kModels).text;
  return ask(sign_ == Sign::kLiveliness ? kLiveliness : kHealth).text;
}

HealthPath::Finding HealthPath::on_answer(unsigned status, std::string_view body) {
  if (!known_.path.empty()) return on_configured(status);
  if (asked_ == kModels) return on_models(status);
  if (asked_ == kLiveliness) return on_liveliness(status, body);
  return on_health(status, body);
}

void HealthPath::forget() {
  if (sign_ != Sign::kLiveliness) sign_ = Sign::kHealth;
}

HealthPath::Finding HealthPath::on_configured(unsigned status) {
  if (is_success(status)) return {Finding::Kind::kAlive};
  Finding finding = not_ready(status);
  if (is_missing(status)) finding.text += "; correct the `health_path` of this backend";
  return finding;
}

HealthPath::Finding HealthPath::on_health(unsigned status, std::string_view body) {
  health_status_ = status;
  if (is_litellm(status, body)) {
    return is_success(status) ? alive(Sign::kLiveliness) : ask(kLiveliness);
  }
  if (is_success(status)) return alive(Sign::kHealth);
  if (sign_ == Sign::kAnyAnswer && is_life(status)) return alive(sign_);
  return is_missing(status) ? ask(kModels) : not_ready(status);
}

HealthPath::Finding HealthPath::on_models(unsigned status) {
  // Who keeps its list to holders of a key lives.
  const bool keyed = status == 401 && !known_.has_key;
  if (is_success(status) || keyed) return alive(Sign::kModels);
  if (!is_life(status)) return not_ready(status);
  if (health_status_ == 0) return ask(kHealth);
  if (known_.has_models) return alive(Sign::kAnyAnswer);
  if (!is_missing(status)) return not_ready(status);
  return {Finding::Kind::kNotReady,
          "GET /health answered " + std::to_string(health_status_) + " and GET /v1/models " +
              std::to_string(status) +
              ": name what it serves in `models` of this backend and, if another path tells its "
              "health, that in `health_path`"};
}

HealthPath::Finding HealthPath::on_liveliness(unsigned status, std::string_view body) {
  if (is_success(status) && contains(body, "alive")) return alive(Sign::kLiveliness);
  if (!is_life(status)) return not_ready(status);
  sign_ = Sign::kHealth;
  if (health_status_ == 0) return ask(kHealth);  // it is another server
  Finding finding = not_ready(status);
  if (is_success(status)) finding.text += ", but not that it is alive";
  return finding;
}

HealthPath::Finding HealthPath::ask(std::string_view path) {
  asked_ = path;
  return {Finding::Kind::kAsk, asked_};
}

HealthPath::Finding HealthPath::alive(Sign sign) {
  sign_ = sign;
  return {Finding::Kind::kAlive};
}

HealthPath::Finding HealthPath::not_ready(unsigned status) const {
  std::string problem = "GET " + asked_ + " answered " + std::to_string(status);
  if (status == 401) problem += "; give its key as `api_key`";
  return {Finding::Kind::kNotReady, std::move(problem)};
}

}  // namespace batchproxy
