// tests/configs/manual_test.cc - completions and manual pages say what the command line has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "configs/manual/completion.h"
#include "configs/manual/manual_page.h"

namespace batchproxy {
namespace {

using testing::HasSubstr;
using testing::Not;

CommandWords program() {
  CommandWords ask{.name = "ask", .meaning = "Ask it's engines", .arguments = {"QUESTIONS"}};
  ask.flags = {{{"-o", "--answers"}, "FILE", "Where answers go"}, {{"--dry-run"}, "", "Only look"}};
  CommandWords list{.name = "list", .meaning = "List them"};
  CommandWords jobs{.name = "jobs", .meaning = "Look at jobs", .commands = {list}};
  CommandWords order{.name = "order", .meaning = "Give orders", .arguments = {"ENGINE"}};
  order.tells_words = true;
  return {.name = "tool",
          .meaning = "A tool.",
          .flags = {{{"--config"}, "FILE", "Its file"}, {{"--level"}, "N", ".hidden\\n"}},
          .commands = {ask, jobs, order},
          .examples = "Examples:\n  tool ask q -o a"};
}

TEST(Completion, OfBashKnowsEachPlacesWords) {
  const std::string script = *completion_script(program(), "bash");
  EXPECT_THAT(script,
              HasSubstr("'') commands='ask jobs order'; flags='--config --level'; paths=0"));
  EXPECT_THAT(
      script,
      HasSubstr("'ask') commands=''; flags='--answers --config --dry-run --level -o'; paths=1"));
  EXPECT_THAT(script, HasSubstr("'jobs list') at='jobs list'"));
  EXPECT_THAT(script, HasSubstr("--answers|--config|-o) COMPREPLY=($(compgen -f"));
  EXPECT_THAT(script, HasSubstr("--level) return"));
  EXPECT_THAT(script, HasSubstr("complete -o filenames -F _tool tool"));
  EXPECT_THAT(script, HasSubstr("\"${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}\"")) << "as zsh takes it";
}

TEST(Completion, AsksACommandThatTellsWords) {
  const std::string bash = *completion_script(program(), "bash");
  EXPECT_THAT(bash, HasSubstr("'order') commands=''; flags='--config --level'; paths=0; tells=1"));
  EXPECT_THAT(bash, HasSubstr("'ask') commands=''; flags='--answers --config --dry-run --level "
                              "-o'; paths=1; tells=0"));
  EXPECT_THAT(bash, HasSubstr("$(\"${COMP_WORDS[@]:0:$((COMP_CWORD))}\" --words 2>/dev/null)"));
  EXPECT_THAT(*completion_script(program(), "fish"),
              HasSubstr("complete -c tool -n '__fish_seen_subcommand_from order' -a '(tool "
                        "(commandline -opc)[2..-1] --words 2>/dev/null)'"));
}

TEST(Completion, OfZshIsThatOfBash) {
  const std::string script = *completion_script(program(), "zsh");
  EXPECT_TRUE(script.starts_with("#compdef tool\n"));
  EXPECT_THAT(script, HasSubstr("bashcompinit"));
  EXPECT_TRUE(script.ends_with("\n_bash_complete -o filenames -F _tool\n")) << "the first word";
}

TEST(Completion, OfFishQuotesAndNestsCommands) {
  const std::string script = *completion_script(program(), "fish");
  EXPECT_THAT(script, HasSubstr("-a ask -d 'Ask it\\'s engines'"));
  EXPECT_THAT(script, HasSubstr("-n '__fish_seen_subcommand_from ask' -s o -l answers -rF -d"));
  EXPECT_THAT(script, HasSubstr("'__fish_seen_subcommand_from jobs; and not "
                                "__fish_seen_subcommand_from list' -a list"));
  EXPECT_THAT(script, HasSubstr("complete -c tool -l level -x"));
}

TEST(Completion, IsForKnownShellsOnly) {
  EXPECT_FALSE(completion_script(program(), "tcsh"));
}

TEST(ManualPage, HasEachFlagAndCommand) {
  const std::string page = program_page(program(), {.version = "1.2",
                                                    .flags_note = "They serve.",
                                                    .codes = "0: fine.\n1: not.",
                                                    .see_also = {"other(1)", "tool.yaml(5)"}});
  EXPECT_TRUE(page.starts_with(".TH TOOL 1 \"\" \"batchproxy 1.2\"\n.ad l\n"));
  EXPECT_THAT(page, HasSubstr(".SS \\fBtool ask\\fR \\fIQUESTIONS\\fR\nAsk it's engines.\n"));
  EXPECT_THAT(page,
              HasSubstr("\\fB\\-o\\fR, \\fB\\-\\-answers\\fR \\fIFILE\\fR\nWhere answers go\n"));
  EXPECT_THAT(page, HasSubstr("\\fBtool jobs list\\fR")) << "commands of commands";
  EXPECT_THAT(page, HasSubstr("\n\\&.hidden\\en\n")) << "no request of roff's, and no escape";
  EXPECT_THAT(page, Not(HasSubstr("\n.hidden")));
  EXPECT_THAT(page, HasSubstr(".SH NAME\ntool \\- A tool\n")) << "no stop";
  EXPECT_THAT(page, HasSubstr(".SH FLAGS\nThey serve.\n"));
  EXPECT_THAT(page, HasSubstr(".SH EXIT STATUS\n0: fine.\n.br\n1: not.\n"));
  EXPECT_THAT(page, HasSubstr(".SH SEE ALSO\n.BR other (1) ,\n.BR tool.yaml (5)\n"));
}

TEST(ManualPage, OfTheConfigurationHasEachKey) {
  const std::string page = keys_page(key_tables(), "1.2");
  EXPECT_THAT(page, HasSubstr("\\fBbatchproxy.listen\\fR (text)"));
  EXPECT_THAT(page, HasSubstr("Default: 127.0.0.1:8000.\nFlag: \\-\\-listen."));
  for (const KeyTable& table : key_tables()) {
    EXPECT_FALSE(table.keys.empty()) << table.title;
  }
}

}  // namespace
}  // namespace batchproxy
