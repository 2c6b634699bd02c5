// launcher/ray/ray_client.cc - see ray_client.h.
#include "launcher/ray/ray_client.h"

#include <cstddef>
#include <utility>

#include "backends/net/tls.h"

namespace batchproxy {
namespace {

constexpr std::size_t kMostOfAnswer = 64 << 20;  // bytes: a list of many thousand jobs
constexpr const char* kJobs = "/api/jobs/";

}  // namespace

OrError<RayAddress> ray_address(const Options& options, const Environment& environment) {
  RayAddress address;
  address.url = *options.proxy.launcher.ray_address;
  const BackendUrl at = parse_backend_url(address.url);
  if (!at.address) return LaunchError{"launcher.ray_address: " + at.problem};
  address.host = *at.address;
  address.endpoint.authority = to_string(*at.address);
  address.endpoint.name = address.endpoint.authority;
  address.token = [file = *options.proxy.launcher.ray_token_file, environment] {
    return find_ray_token(file, environment);
  };
  if (!at.secured) return address;
  auto context = TlsContext::of_client(*options.proxy.tls.ca_file);
  if (!context) return LaunchError{"launcher.ray_address: " + context.error()};
  address.endpoint.tls = *std::move(context);
  address.endpoint.server_name = at.address->host;
  return address;
}

RayClient::RayClient(asio::io_context& io, RayAddress address, Duration patience)
    : io_(io), address_(std::move(address)), patience_(patience), resolver_(io) {}

Task<RayReply> RayClient::version() {
  return ask(Verb::kGet, "/api/version", {});
}

Task<RayReply> RayClient::cluster() {
  return ask(Verb::kGet, "/api/cluster_status", {});
}

Task<RayReply> RayClient::nodes() {
  return ask(Verb::kGet, "/api/v0/nodes", {});
}

Task<RayReply> RayClient::jobs() {
  return ask(Verb::kGet, kJobs, {});
}

Task<RayReply> RayClient::job(std::string id) {
  return ask(Verb::kGet, kJobs + id, {});
}

Task<RayReply> RayClient::submit(std::string submission) {
  return ask(Verb::kPost, kJobs, std::move(submission));
}

Task<RayReply> RayClient::stop(std::string id) {
  return ask(Verb::kPost, kJobs + id + "/stop", "{}");
}

Task<RayReply> RayClient::remove(std::string id) {
  return ask(Verb::kDelete, kJobs + id, {});
}

Task<RayReply> RayClient::ask(Verb verb, std::string path, std::string body) {
  Endpoint at = address_.endpoint;
  const OrError<RayToken> token = address_.token();
  if (!token) {
    RayReply none;
    none.refusal = RayRefusal{token.error().text, true};
    co_return none;
  }
  at.api_key = token->text;
  at.addresses = co_await find_addresses(resolver_, address_.host);
  ControlReply answer = co_await exchange(verb, at, std::move(path), std::move(body));
  RayReply reply;
  if (answer.error) {
    reply.refusal = explain_silence(address_.url, why_no_reply(answer));
    co_return reply;
  }
  reply.status = answer.status;
  reply.body = std::move(answer.body);
  if (reply.status / 100 != 2) {
    reply.refusal = explain_refusal(address_.url, reply.status, reply.body, !at.api_key.empty());
  }
  co_return reply;
}

Task<ControlReply> RayClient::exchange(Verb verb, const Endpoint& at, std::string path,
                                       std::string body) {
  ControlReply reply;
  ControlStream stream(io_.get_executor());
  reply.error = co_await connect_in_turn(stream, at.addresses, patience_);
  if (reply.error) co_return reply;
  switch (verb) {
    case Verb::kGet:
      reply = co_await get_page(stream, at, std::move(path), kMostOfAnswer);
      break;
    case Verb::kPost:
      reply = co_await post_json(stream, at, std::move(path), std::move(body), kMostOfAnswer);
      break;
    case Verb::kDelete:
      reply = co_await delete_page(stream, at, std::move(path), kMostOfAnswer);
      break;
  }
  co_return reply;
}

}  // namespace batchproxy
