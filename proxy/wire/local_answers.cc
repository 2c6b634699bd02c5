// proxy/wire/local_answers.cc - see local_answers.h.
#include "proxy/wire/local_answers.h"

#include <fmt/format.h>

#include "proxy/wire/router.h"

namespace batchproxy {

namespace {

LocalResult json(std::string body) {
  LocalAnswer answer;
  answer.body = std::move(body);
  return answer;
}

}  // namespace

LocalResult list_models(const ProxyView& proxy) {
  if (proxy.models.has_list()) return json(proxy.models.models_json());
  // An engine that shows its list only to holders of a key that we have not shows it to its
  // clients.
  if (!proxy.head_only && !proxy.models.anything().empty()) return std::nullopt;
  // Scripts wait until there is a list: an empty one would tell them that all is ready.
  return Error{Errc::kNoBackend,
               "No backend has said yet which models it serves. Engines may still be loading: see "
               "/status on the admin address."};
}

LocalResult tell_health(const ProxyView& proxy) {
  if (proxy.any_ready) return LocalAnswer{.content_type = {}};
  return LocalAnswer{
      .status = 503, .content_type = {}, .retry_after = describe(Errc::kNoBackend).retry_after};
}

LocalResult tell_version(const ProxyView&) {
  return json(R"({"version":"batchproxy )" BATCHPROXY_VERSION R"("})");
}

LocalResult tell_load(const ProxyView& proxy) {
  return json(fmt::format(R"({{"server_load":{}}})", proxy.load()));
}

LocalResult tell_methods(const ProxyView& proxy) {
  const std::string_view path = proxy.target.substr(0, proxy.target.find('?'));
  return LocalAnswer{.status = 204, .content_type = {}, .allow = allowed_methods(path)};
}

}  // namespace batchproxy
