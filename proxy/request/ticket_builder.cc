// proxy/request/ticket_builder.cc - see ticket_builder.h.
#include "proxy/request/ticket_builder.h"

#include <initializer_list>

#include <xxhash.h>

#include "backends/net/system_random.h"

namespace batchproxy {

namespace {

constexpr std::size_t kBytesPerToken = 4;                 // of English text, roughly
constexpr Duration kPatience = std::chrono::seconds(30);  // of a request that may share a call

std::uint64_t hash_all(std::initializer_list<std::string_view> texts) {
  std::uint64_t hash = 0;
  // Each text's hash seeds the next: where one ends and the next begins counts.
  for (const std::string_view text : texts) {
    hash = XXH3_64bits_withSeed(text.data(), text.size(), hash + text.size());
  }
  return hash;
}

}  // namespace

void describe_prompt(const BodyPolicy& policy, const BodyScan& scan, std::uint64_t model,
                     const ClientRequest& request, const Ticket& like, const BodyParts& parts,
                     Ticket& ticket) {
  ticket.arrival = like.arrival;
  ticket.deadline = like.deadline;
  ticket.model = like.model;
  ticket.routes = like.routes;
  ticket.backends = like.backends;
  ticket.prompts = like.prompts;
  ticket.streaming = like.streaming;
  ticket.background = like.background;
  ticket.immediate = like.immediate;
  ticket.client = like.client;
  if (policy.prefixes && !parts.prompt.empty()) {
    ticket.prefix = PrefixChain(parts.prompt, model);
    ticket.tokens = static_cast<std::uint32_t>(1 + parts.prompt.size() / kBytesPerToken);
  }
  // A shared call ends with its most impatient member.
  const bool patient = request.timeout >= kPatience;
  if (policy.merging && scan.mergeable != Mergeable::kNever && patient) {
    ticket.mergeable = scan.mergeable;
    ticket.short_answer = scan.short_answer;
    ticket.identity = hash_all(
        {parts.before, parts.after, request.target, request.authorization, request.key,
         request.fields,
         scan.form == PromptForm::kTokens ? std::string_view("tokens") : std::string_view("text")});
    // A batch's requests share no calls with those that go before them.
    if (request.background) ticket.identity = ~ticket.identity;
  }
}

std::uint64_t client_key(std::uint64_t address, std::string_view bearer) {
  static const std::uint64_t secret = system_random();
  return XXH3_64bits_withSeed(bearer.data(), bearer.size(), address ^ secret);
}

std::uint64_t text_key(std::string_view text) {
  return hash_all({text});
}

Routes make_routes(const ModelTable& models) {
  Routes routes;
  routes.version = models.version();
  routes.anything = models.anything();
  routes.complete = models.complete();
  for (const auto& [name, backends] : models.by_name()) routes.models[text_key(name)] = backends;
  routes.models[text_key({})] = models.all();  // a request that names none
  return routes;
}

}  // namespace batchproxy
