// tests/sim/api_fixture.h - an Api without a socket, and what its tests ask it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <gtest/gtest.h>

#include "backends/sim/api/api.h"

namespace batchproxy::sim {

class ApiTest : public testing::Test {
 protected:
  ApiTest() : ApiTest(options()) {}
  explicit ApiTest(ApiOptions given) : api_(std::move(given), server_) {}

  static ApiOptions options() {
    ApiOptions options;
    options.model = "org/model";
    options.served_names = {"org/model", "alias"};
    options.max_model_len = 1000;
    return options;
  }

  static ApiRequest post(const std::string& target, const std::string& body) {
    ApiRequest request;
    request.method = "POST";
    request.target = target;
    request.content_type = "application/json";
    request.body = body;
    request.unix_time = 1700000000;
    return request;
  }

  static ApiRequest get(const std::string& target) {
    ApiRequest request;
    request.method = "GET";
    request.target = target;
    return request;
  }

  std::unique_ptr<ApiCall> call(const std::string& target, const std::string& body) {
    ApiOutcome outcome = api_.handle(post(target, body));
    if (auto* reply = std::get_if<ApiReply>(&outcome)) ADD_FAILURE() << reply->body;
    return std::get<std::unique_ptr<ApiCall>>(std::move(outcome));
  }

  // The whole answer to a call.
  boost::json::value answer_to(const std::string& target, const std::string& body) {
    return boost::json::parse(call(target, body)->body());
  }

  boost::json::value complete(const std::string& body) {
    return answer_to("/v1/completions", body);
  }

  ApiReply reply(const ApiRequest& request) { return std::get<ApiReply>(api_.handle(request)); }

  boost::json::object error_of(const ApiRequest& request) {
    const ApiReply refused = reply(request);
    const boost::json::object error = boost::json::parse(refused.body).at("error").as_object();
    EXPECT_EQ(error.size(), 4u) << refused.body;
    EXPECT_EQ(error.at("code"), refused.status);
    return error;
  }

  // "status type param" of a refused request.
  std::string refusal(const std::string& target, const std::string& body) {
    const boost::json::object error = error_of(post(target, body));
    const boost::json::value& param = error.at("param");
    return std::to_string(error.at("code").as_int64()) + " " +
           std::string(error.at("type").as_string()) +
           (param.is_null() ? "" : " " + std::string(param.as_string()));
  }

  std::string refusal(const std::string& body) { return refusal("/v1/completions", body); }

  std::string refusal_message(const std::string& target, const std::string& body) {
    return std::string(error_of(post(target, body)).at("message").as_string());
  }

  // Everything that a stream sends.
  static std::vector<boost::json::value> stream(ApiCall& call) {
    std::string events = call.opening();
    const std::vector<Work> items = call.work();
    for (int index = 0; index < static_cast<int>(items.size()); ++index) {
      for (int token = 0; token < items[static_cast<std::size_t>(index)].output_tokens; ++token) {
        events += call.next_chunk(index);
      }
    }
    events += call.closing();
    std::vector<boost::json::value> chunks;
    std::size_t at = 0;
    while (events.compare(at, 12, "data: [DONE]") != 0) {
      const std::size_t end = events.find("\n\n", at);
      chunks.push_back(boost::json::parse(events.substr(at + 6, end - at - 6)));
      at = end + 2;
    }
    return chunks;
  }

  Hardware hardware_{Gpu::kA100, 1};
  ServerModel server_{hardware_, {256, 2048, 6735, true}, {}};
  Api api_;
};

// The same of a model that embeds.
class PoolingApiTest : public ApiTest {
 protected:
  PoolingApiTest() : ApiTest(pooling_options()) {}

 private:
  static ApiOptions pooling_options() {
    ApiOptions pooling = options();
    pooling.pooling = true;
    return pooling;
  }
};

}  // namespace batchproxy::sim
