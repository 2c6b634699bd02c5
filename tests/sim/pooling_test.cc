// tests/sim/pooling_test.cc - embeddings, scores, ranks and classes.
#include <cmath>

#include <gtest/gtest.h>

#include "backends/sim/model/embedding.h"
#include "tests/sim/api_fixture.h"

namespace batchproxy::sim {
namespace {

namespace json = boost::json;

TEST(Embedding, HasLengthOne) {
  for (const int size : {1, 8, kEmbeddingSize}) {
    double length = 0;
    for (const float value : embed(tokenize("one two three"), size)) {
      length += std::pow(value, 2);
    }
    EXPECT_NEAR(length, 1, 1e-6) << size;
  }
}

TEST(Embedding, TextsThatShareWordsAreClose) {
  const std::vector<Token> dna = tokenize("DNA repair fixes broken DNA strands");
  EXPECT_NEAR(similarity(dna, dna), 1, 1e-6);
  EXPECT_GT(similarity(dna, tokenize("how are DNA strands fixed: DNA repair")),
            similarity(dna, tokenize("the harbour of Hamburg is large")));
}

TEST(Embedding, Base64IsTheBytesOfTheFloats) {
  EXPECT_EQ(base64(std::vector<float>{1.0f, -2.0f}), "AACAPwAAAMA=");
}

TEST_F(PoolingApiTest, AnEmbeddingHasVllmsShape) {
  const json::value body = answer_to("/v1/embeddings", R"({"input":"a b c","model":"alias"})");
  EXPECT_EQ(body.at("object"), "list");
  EXPECT_EQ(body.at("model"), "alias");
  EXPECT_TRUE(std::string(body.at("id").as_string()).starts_with("embd-"));
  EXPECT_EQ(body.at("data").at(0).at("object"), "embedding");
  EXPECT_EQ(body.at("data").at(0).at("embedding").as_array().size(), 64u);
  EXPECT_EQ(body.at("usage").at("prompt_tokens"), 3);
  EXPECT_EQ(body.at("usage").at("completion_tokens"), 0);
}

TEST_F(PoolingApiTest, EveryFormOfInputIsTaken) {
  const auto vectors = [this](const std::string& input, const std::string& more = "") {
    json::array found;
    const json::value body = answer_to("/v1/embeddings", R"({"input":)" + input + more + "}");
    for (const json::value& data : body.at("data").as_array()) {
      EXPECT_EQ(data.at("index").to_number<std::size_t>(), found.size());
      found.push_back(data.at("embedding"));
    }
    return found;
  };
  const json::array one = vectors(R"("Hi")");
  EXPECT_EQ(vectors(R"(["Hi"])"), one);
  EXPECT_EQ(vectors(R"(["Ho","Hi"])").at(1), one.at(0));
  EXPECT_EQ(vectors("[72,105]").size(), 1u);
  EXPECT_EQ(vectors("[[72,105],[72]]").size(), 2u);
  EXPECT_EQ(vectors(R"("Hi")", R"(,"dimensions":8)").at(0).as_array().size(), 8u);
  EXPECT_EQ(vectors(R"("Hi")", R"(,"encoding_format":"base64")").at(0).as_string().size(),
            (64 * 4 + 2) / 3 * 4u);
  EXPECT_EQ(answer_to("/v1/embeddings", R"({"messages":[{"role":"user","content":"Hi"}]})")
                .at("data")
                .as_array()
                .size(),
            1u);
}

TEST_F(PoolingApiTest, ScoresPairTheirTexts) {
  for (const char* names : {R"("queries":"DNA","documents":)", R"("queries":"DNA","items":)",
                            R"("text_1":"DNA","text_2":)", R"("data_1":"DNA","data_2":)"}) {
    const json::value body =
        answer_to("/score", std::string("{") + names + R"(["DNA","ships and the sea"]})");
    EXPECT_EQ(body.at("data").at(0).at("object"), "score");
    EXPECT_NEAR(body.at("data").at(0).at("score").as_double(), 1, 1e-6);
    EXPECT_LT(body.at("data").at(1).at("score").as_double(), 0.9);
    EXPECT_EQ(body.at("usage").at("prompt_tokens"), 1 + 1 + 1 + 4);
  }
  EXPECT_EQ(refusal("/score", R"({"text_1":["a","b"],"text_2":["a","b","c"]})"),
            "400 BadRequestError");
  EXPECT_EQ(refusal("/score", R"({"text_1":"a"})"), "400 Bad Request body.queries");
}

TEST_F(PoolingApiTest, ARankingComesInOrderOfRelevance) {
  const std::string fields = R"({"query":"DNA repair","documents":["ships","DNA repair now"])";
  for (const char* path : {"/rerank", "/v1/rerank", "/v2/rerank"}) {
    const json::value results = answer_to(path, fields + "}").at("results");
    ASSERT_EQ(results.as_array().size(), 2u);
    EXPECT_EQ(results.at(0).at("index"), 1);
    EXPECT_EQ(results.at(0).at("document").at("text"), "DNA repair now");
    EXPECT_GT(results.at(0).at("relevance_score").as_double(),
              results.at(1).at("relevance_score").as_double());
  }
  EXPECT_EQ(answer_to("/rerank", fields + R"(,"top_n":1})").at("results").as_array().size(), 1u);
  EXPECT_EQ(answer_to("/rerank", fields + R"(,"top_n":9})").at("results").as_array().size(), 2u);
}

TEST_F(PoolingApiTest, PoolingAndClassifyingHaveVllmsShape) {
  const json::value pooled = answer_to("/pooling", R"({"input":["a","b"]})");
  EXPECT_EQ(pooled.at("data").at(1).at("object"), "pooling");
  EXPECT_EQ(pooled.at("data").at(1).at("data").as_array().size(), 64u);
  const json::value classified = answer_to("/classify", R"({"input":"a"})").at("data").at(0);
  EXPECT_EQ(classified.at("num_classes"), 2);
  EXPECT_NEAR(classified.at("probs").at(0).as_double() + classified.at("probs").at(1).as_double(),
              1, 1e-9);
}

TEST_F(PoolingApiTest, PoolingRefusesWhatVllmRefuses) {
  EXPECT_EQ(refusal("/v1/embeddings", "{}"), "400 Bad Request body.input");
  EXPECT_EQ(refusal("/v1/embeddings", R"({"input":""})"), "400 BadRequestError");
  EXPECT_EQ(refusal("/v1/embeddings", R"({"input":[]})"), "400 BadRequestError");
  EXPECT_EQ(refusal("/v1/embeddings", R"({"input":"x","encoding_format":"hex"})"),
            "400 Bad Request body.encoding_format");
  EXPECT_EQ(refusal("/v1/embeddings", R"({"input":"x","dimensions":65})"),
            "400 BadRequestError dimensions");
  EXPECT_EQ(refusal("/v1/embeddings", R"({"input":")" + std::string(9000, 'x') + R"("})"),
            "400 BadRequestError input_tokens");
  EXPECT_EQ(refusal("/rerank", R"({"query":"x","documents":[]})"), "400 BadRequestError");
}

TEST_F(PoolingApiTest, APromptThatIsOnlyReadTakesOnePassOfTheEngine) {
  const auto embedding = call("/v1/embeddings", R"({"input":["a b c","d"]})");
  const std::vector<Work> items = embedding->work();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].prompt_tokens, 3);
  ASSERT_TRUE(server_.begin_call(1, items, false, 0));
  double ended = 0;
  while (const auto next = server_.next_event()) {
    server_.advance(*next);
    ended = *next;
  }
  EXPECT_GT(ended, 0);
  EXPECT_EQ(server_.engine().counters().generation_tokens, 2u);
  api_.on_answered(*embedding);
  EXPECT_NE(
      reply(get("/metrics")).body.find(R"(finished_reason="stop",model_name="org/model"} 2.0)"),
      std::string::npos);
}

}  // namespace
}  // namespace batchproxy::sim
