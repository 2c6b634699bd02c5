// bench/load/questions.cc - see questions.h.
#include "bench/load/questions.h"

#include <cctype>
#include <fstream>
#include <stdexcept>

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>
#include <boost/system/system_error.hpp>

namespace batchproxy::bench {

namespace json = boost::json;

namespace {

Question parse_question(const std::string& line) {
  const json::object object = json::parse(line).as_object();
  Question question;
  if (const json::value* passage = object.if_contains("passage"); passage && passage->is_string()) {
    question.passage = json::value_to<std::string>(*passage);
  }
  question.question = json::value_to<std::string>(object.at("question"));
  question.options = json::value_to<std::vector<std::string>>(object.at("options"));
  question.label = json::value_to<std::string>(object.at("label"));
  return question;
}

std::runtime_error not_a_question(const std::string& file, int line, const std::string& why) {
  return std::runtime_error(file + ":" + std::to_string(line) +
                            ": not a question (a JSON object with passage, question, options and "
                            "label): " +
                            why);
}

}  // namespace

std::vector<Question> load_questions(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error("cannot read " + file);
  std::vector<Question> questions;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // a byte order mark
    if (line.empty()) continue;
    try {
      questions.push_back(parse_question(line));
    } catch (const boost::system::system_error& error) {
      throw not_a_question(file, number, error.code().message());  // what() names Boost's source
    } catch (const std::exception& error) {
      throw not_a_question(file, number, error.what());
    }
  }
  if (questions.empty()) throw std::runtime_error(file + " holds no question");
  return questions;
}

std::string prompt_of(const Question& question, std::string_view salt) {
  std::string prompt;
  if (!salt.empty()) prompt.append(salt).append("\n");
  if (!question.passage.empty())
    prompt.append("Context:\n").append(question.passage).append("\n\n");
  prompt.append("Question:\n").append(question.question).append("\n");
  for (const std::string& option : question.options) prompt.append(option).append("\n");
  return prompt.append("Answer:");
}

char chosen_letter(std::string_view answer, std::size_t options) {
  const auto is_word = [&](std::size_t i) {
    return i < answer.size() && std::isalnum(static_cast<unsigned char>(answer[i])) != 0;
  };
  for (std::size_t i = 0; i < answer.size(); ++i) {
    const char c = answer[i];
    if (c < 'A' || c >= static_cast<char>('A' + static_cast<char>(options))) continue;
    if ((i == 0 || !is_word(i - 1)) && !is_word(i + 1)) return c;
  }
  return '\0';
}

}  // namespace batchproxy::bench
