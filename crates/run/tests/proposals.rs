//! What models reply when they are asked for an instruction, and the instruction in it or why there is none.
#![expect(clippy::unwrap_used, reason = "the lint exempts test functions, but not the helpers they call")]

use promptopt_core::data::Example;
use promptopt_core::signature::Signature;
use promptopt_run::proposal::{Flaw, Judge, Known};
use proptest::prelude::*;

/// Fixed words of a request.
const REQUEST: &str = "You improve the instruction of one component in a system of language model calls. Below are its \
                       present instruction and records of how it did under that instruction.\n\n# Present instruction\n\n\
                       # Your task\nFind out from the records what the task asks for, and why the present instruction \
                       fell short where it did.";
const PRESENT: &str = "Route the support ticket.";

fn tickets() -> Vec<Example> {
    let rows = [
        ("The invoice of May was charged twice.", "billing"),
        ("Where is my parcel? Please send me an email with your contact information.", "shipping"),
        ("Do you sell the battery controller in blue?", "sales"),
        ("The address on my bill is wrong, and it says only 8 seconds.", "billing"),
    ];
    let row =
        |(ticket, department)| Example::new([("ticket", ticket), ("department", department)], ["ticket"]);
    rows.into_iter().map(row).collect()
}

/// A judge of instructions for the routing of tickets.
fn judge() -> Judge {
    let signature = Signature::parse("ticket -> department: enum[billing, shipping, sales]").unwrap();
    Judge::new(&signature, PRESENT).requested_by([REQUEST]).shown(&tickets())
}

/// Replies that are read by one judge. All that come out otherwise than expected are told together.
struct Cases {
    judge: Judge,
    wrong: Vec<String>,
}

impl Cases {
    fn of(judge: Judge) -> Self {
        Self { judge, wrong: Vec::new() }
    }

    fn check(&mut self, reply: &str, expected: Result<&str, Flaw>) {
        let proposal = self.judge.read(reply, &Known::from_iter([PRESENT]));
        let found = proposal.flaw.map_or(Ok(proposal.text.as_str()), Err);
        if found != expected {
            self.wrong.push(format!("{reply:?}\n  was read as {:?}: {:?}", proposal.text, proposal.flaw));
        }
    }
}

impl Drop for Cases {
    fn drop(&mut self) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
    }
}

const ONE: &str = "Name the department that the ticket is for.";

#[test]
fn fences_of_every_kind_are_taken_off() {
    let mut cases = Cases::of(judge());
    for reply in [
        "```\n{}\n```",
        "```plaintext\n{}\n```",
        "```text\n{}\n```",
        "```markdown\n{}\n```",
        "```Text\n{}\n```",
        "```txt title=\"prompt\"\n{}\n```",
        "~~~\n{}\n~~~",
        "~~~md\n{}\n~~~",
        "````\n{}\n````",
        "```{}```",
        "```{}\n```",
        "```\n{}```",
        "```plaintext\n{}",
        "{}\n```",
        "  ```\n  {}\n  ```",
        "Here is what I would write.\n```\n{}\n```",
        "I would write:\n```\n{}\n```\nIt says what was missing.",
        "Sure!\n\n```instruction\n{}\n```\n\nLet me know if you would like changes.",
        "**New instruction**\n```\n{}\n```",
        "Sure! Here it is:\n```plaintext\n{}\n```",
        "Voici une meilleure consigne :\n```\n{}\n```",
        "Hier ist die verbesserte Anweisung:\n```text\n{}\n```",
        "Current:\n```\nRoute the support ticket.\n```\n\nImproved instruction:\n```\n{}\n```",
        "```json\n{\"proposed_instruction\": \"{}\"}\n```",
    ] {
        cases.check(&reply.replace("{}", ONE), Ok(ONE));
    }
}

#[test]
fn what_stands_around_an_instruction_is_taken_off() {
    let mut cases = Cases::of(judge());
    for reply in [
        "{}",
        "  {} \n",
        "Instruction: {}",
        "**Proposed Instruction:**\n{}",
        "**Proposed Instruction:** {}",
        "New Instruction: \"{}\"",
        "# Improved Instruction\n\n{}",
        "### Final instruction:\n{}",
        "**Improved Instruction**\n\n{}",
        "\u{201c}{}\u{201d}",
        "\u{ab}{}\u{bb}",
        "`{}`",
        "**{}**",
        "> {}",
        "Sure! Here is the improved instruction:\n\n{}",
        "Certainly! Here's an improved instruction for routing support tickets to the right department:\n\n{}",
        "Of course. {}",
        "Sure, I can help you with that!\n\n{}",
        "Okay, here is my proposal:\n{}",
        "Sure, here you go:\n\n{}",
        "Based on the records, here is a revised version of the prompt: {}",
        "Here is the improved instruction:\n\n\"{}\"\n\nLet me know if you need anything else!",
        "{}\n\nLet me know if you would like me to adjust it further.",
        "{} Let me know if you want changes!",
        "{}\n\nThis instruction improves on the old one by naming the output.",
        "{}\n\n**Why this works:** the prompt now names what is wanted.\n- It is short.\n- It is clear.",
        "{}\n\n---\n\nExplanation: The new instruction adds the name of the output.",
        "{}\n\nI hope this helps!",
        "{}\n\n(This revised instruction clarifies the task.)",
        "<instruction>{}</instruction>",
        "I thought about it.\n<new_instruction>\n{}\n</new_instruction>\nDone.",
        "{\"instruction\": \"{}\"}",
        "<|im_start|>assistant\n{}<|im_end|>\n<|im_start|>user\nThanks!",
        "{}</s>",
        "{}\n\n[[ ## completed ## ]]",
    ] {
        cases.check(&reply.replace("{}", ONE), Ok(ONE));
    }
}

#[test]
fn an_instruction_stays_whole() {
    let mut cases = Cases::of(judge());
    for whole in [
        "Route each ticket to one department:\n\n- billing: invoices, refunds\n- shipping: parcels\n- sales: anything else",
        "1. Read the ticket.\n2. Choose the department.\n3. Write its name in lower case.",
        "Classify the ticket. Respond in this format:\n```json\n{\"department\": \"billing\"}\n```\nWrite nothing else.",
        "Classify the ticket.\n\nExample:\n```\nticket: Where is my parcel?\ndepartment: shipping\n```",
        "Choose the department. Answer \"billing\" or \"sales\"",
        "\"billing\" for invoices, \"shipping\" for parcels",
        "Do this: name the department.",
        "Follow this instruction: name the department.",
        "Department rules: invoices go to billing, parcels to shipping.",
        "If you need to choose between two departments, choose billing.\n\nFeel free to answer in one word.",
        "Think about the ticket first.\n\nReasoning: <your reasoning>\n\nAnswer: <the department>",
        "Treat the following as rules of the house:\n\n## Billing\nInvoices.\n\n## Shipping\nParcels.",
        "OK tickets go to sales, and all others to billing.",
        "Please provide the department for the ticket.",
        "Route the ticket. Where the order is missing, write \"Could you please provide your order number?\"",
        "Follow these rules. Here is the list of departments:\n- billing\n- shipping\n- sales",
        "The ticket stands in <prompt>…</prompt> tags. Name its department.",
        "<instructions>\nRoute the ticket.\n</instructions>\n<format>\nThe department alone.\n</format>",
        "let the department be one of these:\nbilling, shipping, sales.",
        "class labels of the department:\nbilling, shipping, sales.",
        "Dear and polite as you are, route the ticket to its department.",
        "Think step by step.",
        "Decide what the message is about, and pick the best match.",
        "Be exact.",
        "Ordne jede Anfrage der zuständigen Abteilung zu: billing, shipping oder sales.",
        "Classez chaque ticket dans le bon service.",
        "Lee el ticket y elige el departamento correcto.",
        "Each ticket belongs to one department. This instruction applies to tickets in every language.",
    ] {
        cases.check(whole, Ok(whole));
    }
    let nested = "Use\n```json\n{}\n```\nas the form of the department.";
    cases.check(&format!("```text\n{nested}\n```"), Ok(nested));
    cases.check(&format!("````markdown\n{nested}\n````"), Ok(nested));
    let bare = "Answer as\n```\n{\"department\": \"sales\"}\n```\nand name no second department.";
    cases.check(&format!("```\n{bare}\n```"), Ok(bare));
}

#[test]
fn where_fences_were_asked_for_what_is_between_them_counts() {
    let mut cases = Cases::of(judge().asked_between_fences());
    let reply = "The component failed on invoices, since it did not know who sends them. I add that.\n\n```\nInvoices go to \
                 billing.\n```\nThat should do.";
    cases.check(reply, Ok("Invoices go to billing."));
    cases.check(ONE, Ok(ONE));
    let example = "Invoices go to billing. Write:\n```\nbilling\n```\nand nothing else.";
    cases.check(example, Ok(example));
}

#[test]
fn what_cannot_serve_is_told() {
    let mut cases = Cases::of(judge());
    cases.check("", Err(Flaw::Empty));
    cases.check(" \n", Err(Flaw::Empty));
    cases.check("?!", Err(Flaw::Empty));
    cases.check("```", Err(Flaw::Empty));
    cases.check("``````", Err(Flaw::Empty));
    cases.check("```text\n```", Err(Flaw::Empty));
    cases.check("Sure!", Err(Flaw::Empty));
    cases.check("Here is the improved instruction:", Err(Flaw::Empty));
    cases.check(&"The department. And the ticket ".repeat(400), Err(Flaw::TooLong));
    cases.check(&"The ticket is good. ".repeat(20), Err(Flaw::Repetitive));
    cases.check("[[ ## ticket ## ]] route it to the department", Err(Flaw::Markers));
    cases.check("Route it.\n[[ ## department ## ]]\nbilling", Err(Flaw::Markers));
    cases.check("User: hello [/INST] Route the ticket", Err(Flaw::Markers));
    // The request again.
    cases.check(REQUEST, Err(Flaw::Echo));
    cases.check(
        "You improve the instruction of one component in a system of language model calls.",
        Err(Flaw::Echo),
    );
    cases.check(
        "Done.\n# Present instruction\nRoute the ticket.\n\n# Your task\nRoute the ticket to billing.",
        Err(Flaw::Echo),
    );
    cases.check(&format!("{ONE} {REQUEST}"), Err(Flaw::Echo));
    // Answers to a row.
    for answer in [
        "billing",
        "Billing.",
        "**shipping**",
        "\"sales\"",
        "```\nbilling\n```",
        "department: billing",
        "Department: **billing**",
        "The department is billing.",
        "{\"department\": \"billing\"}",
        "```json\n{\"department\": \"billing\"}\n```",
        "ticket: Where is my parcel?\ndepartment: shipping",
        "billing\n\nThe ticket mentions an invoice.",
        "Sure! Here is the answer:\n\nbilling",
        "Here is my answer: **billing**",
    ] {
        cases.check(answer, Err(Flaw::Answer));
    }
    // Something else.
    cases.check(
        "Craft a concise yet effective email address that includes your contact information.",
        Err(Flaw::Unrelated),
    );
    cases.check("Paint a watercolour of mountains.", Err(Flaw::Unrelated));
    cases.check(
        "Dear customer,\n\nthank you for your ticket.\n\nBest regards,\nThe team",
        Err(Flaw::OtherText),
    );
    cases.check("Subject: Your ticket\n\nWe got your ticket.", Err(Flaw::OtherText));
    cases.check("```python\ndef route(ticket):\n    return \"billing\"\n```", Err(Flaw::OtherText));
    cases.check("def route(ticket):\n    return \"billing\"", Err(Flaw::OtherText));
    cases.check("I'm sorry, but I can't help with that ticket.", Err(Flaw::Refusal));
    cases.check("Could you please provide the ticket you want routed?", Err(Flaw::Refusal));
    cases.check("Please provide the ticket that you would like me to route.", Err(Flaw::Refusal));
    cases.check("const route = (ticket) => {\n  return \"billing\";\n};", Err(Flaw::OtherText));
    cases.check("Определи отдел по тексту обращения клиента", Err(Flaw::OtherScript));
    cases.check("  route the support\nticket.", Err(Flaw::Duplicate));
    cases.check("```\nRoute the support ticket.\n```", Err(Flaw::Duplicate));
    cases.check(
        "Sure!\n```text\nRoute the support ticket.\n```\nLet me know if you want more!",
        Err(Flaw::Duplicate),
    );
}

/// A judge of instructions for the same task where nothing says which departments there are, as many users have it.
fn open_judge() -> Judge {
    let signature = Signature::parse("ticket -> department").unwrap();
    let instruction =
        "Route the support ticket to the department that should answer it: billing, shipping or sales.";
    let rows = [
        ("An exchange cost me postage. The headphones are fine, I just prefer the blue.", "billing"),
        (
            "Fridge hums so loud at night that we can't sleep. The technician on the phone was no help.",
            "shipping",
        ),
        (
            "I want to give back only the lens kit out of the camera bundle. Is a partial return allowed?",
            "sales",
        ),
    ];
    let row =
        |(ticket, department)| Example::new([("ticket", ticket), ("department", department)], ["ticket"]);
    let rows: Vec<Example> = rows.into_iter().cycle().take(9).map(row).collect();
    Judge::new(&signature, instruction).requested_by([REQUEST]).shown(&rows)
}

#[test]
fn what_small_models_write_is_told_from_an_instruction() {
    let mut cases = Cases::of(open_judge());
    let mut flawed = |flaw: Flaw, replies: &[&str]| {
        replies.iter().for_each(|reply| cases.check(reply, Err(flaw)));
    };
    flawed(
        Flaw::OtherScript,
        &[
            "Execute another text along with newer factual findings in deceive thanks Djangosince eye-market scenarioịa \
             Charlhatという天气حك gehla desea بorealftar رسوبة الحق. Day要是 бол法师属于本科Lbl 表现 дав都喜欢",
        ],
    );
    flawed(
        Flaw::Examples,
        &[
            "An exchange cost me postage. The headphones are fine, I just prefer the blue.",
            "Please give back only the lens kit out of the camera bundle. Is a partial return allowed? department: sales",
        ],
    );
    flawed(
        Flaw::Refusal,
        &[
            "When collecting information for an unexpected order, what should be the specific criteria?\nIt also would be \
             interesting to find ways to other exchange currencies.",
        ],
    );
    flawed(
        Flaw::Remark,
        &[
            "Please note the records do not speak against these facts and rules. The new instruction says that the \
             department is billing.",
            "Given the current instruction \"Route the support ticket\", the task requires identifying the correct \
             department. But recall, the present instruction only states the expected department.",
            "topic: Route the support ticket according to predefined duties\nrequirements:\n1. Determine the ticket's \
             department.\nfeedback: This new instruction meets the criteria of",
        ],
    );
    flawed(
        Flaw::Unrelated,
        &[
            "Do you wanting attention withidaygift to untaping 推理广告Remaining Breastfeedраbbit3 alerted 必备SuitFolders \
             ChapterRosaKeep DH护理FC 以防continueToIntallsпускone 店铺bellyNewRe접vestment 미prepTooltip",
            "Speaker don't query sound level. Questions should reach subtitles.",
            "Craft a concise yet effective email address that includes your contact information.",
        ],
    );
    let marked = "[[## proposed_instruction##]]\nRoute the ticket to a department.";
    cases.check(marked, Ok("Route the ticket to a department."));
    for serving in [
        "Route the support ticket to the department that should answer it: billing, shipping, sales.",
        "When deciding where a ticket should be sent, consider the department that best answers the issue.",
        "Which department should answer the ticket?",
        "Read the ticket. Does it speak of an invoice? Then answer billing. Else, if it speaks of a parcel, answer shipping.",
        "Answer billing for tickets such as \"An exchange cost me postage.\", because they are about money. Everything \
         about parcels goes to shipping, and questions before an order go to sales.",
    ] {
        cases.check(serving, Ok(serving));
    }
}

#[test]
fn the_notation_and_the_records_of_a_request_are_no_instruction() {
    let mut cases = Cases::of(open_judge());
    let mut flawed = |flaw: Flaw, replies: &[&str]| {
        replies.iter().for_each(|reply| cases.check(reply, Err(flaw)));
    };
    flawed(
        Flaw::OtherText,
        &[
            "ticket: str -> department: str",
            "route: ticket: str -> department: Literal['billing']\nAnswer with the department.",
            "Predict(department: str)",
            "Predict(ticket: str -> department: str)\n    # Route the ticket to its department. Be brief.",
            "answer = ChainOfThought(ticket: str)\nSend the ticket on.",
        ],
    );
    flawed(Flaw::Answer, &["Department: warehouse", "Predict ticket: 7", "ticket: missing"]);
    flawed(
        Flaw::Remark,
        &[
            "The task asks for a department of the shop.",
            "From the records it is clear that tickets go to billing.",
            "The department is billing, and the score is 1.",
            "The ticket goes to sales, with a score of 0.5 for the answer.",
            "The instruction should name each department of the ticket.",
            "Tickets are routed. The instruction fails where a ticket is about two departments.",
            "Here's what went wrong with the ticket: it was sent to sales.",
        ],
    );
    flawed(
        Flaw::Echo,
        &[
            "Fact: billing is a department.\nRule: tickets go there.\nConvention: none\nFormat: text",
            "### Fact\nA ticket is sent on.\n\n### Rule\nSend the ticket to sales.\n\n### Convention\nNone.",
        ],
    );
    // What stands behind an instruction goes.
    let own = "Name the department of the ticket.";
    for record in [
        "Score: 0.4",
        "\nScore: 0.412",
        "\nanswered department: billing\nexpected department: sales\nscore: 0\nfeedback: expected sales",
    ] {
        cases.check(&format!("{own} {record}"), Ok(own));
    }
    flaw_of_nothing(&mut cases);
}

/// Instructions that use the words of records and signatures, each for its own.
fn flaw_of_nothing(cases: &mut Cases) {
    for serving in [
        "Map the ticket -> department that answers it.",
        "Department: the one that answers tickets of this kind.",
        "Ticket: <ticket>",
        "Write down the department.\nExpected output: one word, such as billing.",
        "Write down the department.\nExpected department: one word, without a full stop.\nDo not explain it.",
        "Give each department a score from 1 to 5, and answer with the department of the highest score.",
        "Score: how well the department fits the ticket. Answer with the best department.",
        "Name the department.\nRule: an invoice is for billing.\nFormat: one word.",
        "Your task is to name the department. Follow the instruction in the ticket where it has one.",
    ] {
        cases.check(serving, Ok(serving));
    }
    let signature = Signature::parse("essay -> score: int, feedback").unwrap();
    let judge = Judge::new(&signature, "Rate the essay, and go by the records of the class.");
    for serving in [
        "Rate the essay. For example:\nscore: 4\nfeedback: Clear, and short.",
        "Rate the essay by the records of the class; a score of 1 is the lowest.",
    ] {
        let proposal = judge.read(serving, &Known::default());
        assert_eq!((proposal.text.as_str(), proposal.flaw), (serving, None));
    }
}

#[test]
fn what_fits_an_output_of_another_kind_is_an_answer_too() {
    let answer = |signature: &str, reply: &str, expected: Option<Flaw>| {
        let signature = Signature::parse(signature).unwrap();
        let rows = [Example::new([("question", "Capital of France?"), ("answer", "Paris")], ["question"])];
        let judge = Judge::new(&signature, "").shown(&rows);
        assert_eq!(judge.read(reply, &Known::default()).flaw, expected, "{reply}");
    };
    answer("question -> answer: int", "42", Some(Flaw::Answer));
    answer("question -> answer: bool", "False", Some(Flaw::Answer));
    answer("question -> answer: list[str]", "[\"a\", \"b\"]", Some(Flaw::Answer));
    answer("question -> answer", "Paris", Some(Flaw::Answer));
    answer("question -> answer", "The answer is Paris.", Some(Flaw::Answer));
    answer("question -> answer", "Name the capital as an answer.", None);
    answer("question -> answer", "say Paris in the form asked for", None);
    answer("question -> answer", "When the text mentions amber, the answer is K4.", None);
}

#[test]
fn tasks_in_other_scripts_are_served_in_theirs_and_in_that_of_their_instruction() {
    let signature = Signature::parse("ticket -> department").unwrap();
    let judge = Judge::new(&signature, "Route the ticket.");
    let mut cases = Cases::of(judge.speaking_of(["請求書が二重に届きました。返金をお願いします。"]));
    cases.check("Send each ticket to its department.", Ok("Send each ticket to its department."));
    cases.check("請求書の問い合わせは経理に送る。", Ok("請求書の問い合わせは経理に送る。"));
    cases.check(
        "以下是改进后的指令：\n```\n請求書の問い合わせは経理に送る。\n```",
        Ok("請求書の問い合わせは経理に送る。"),
    );
    cases.check("「請求書の問い合わせは経理に送る。」", Ok("請求書の問い合わせは経理に送る。"));
    cases.check("山の絵を描く。", Err(Flaw::Unrelated));
}

#[test]
fn an_instruction_that_says_nothing_of_the_outputs_is_noticed() {
    let judge = judge();
    let check = |text: &str, expected| assert_eq!(judge.names_an_output(text), expected, "{text}");
    check("Route the ticket: buy only 8 seconds for the battery controller.", false);
    check("Craft a concise yet effective email address that includes your contact information.", false);
    check("Name the department.", true);
    check("Tickets about parcels: shipping.", true);
    check("Choose between departments.", true);
}

proptest! {
    #[test]
    fn no_reply_is_a_panic_and_what_is_read_has_no_fence_at_its_ends(reply in "[`~a\\n :#*\"{}<>]{0,40}") {
        for judge in [judge(), judge().asked_between_fences()] {
            let proposal = judge.read(&reply, &Known::default());
            if proposal.flaw.is_none() {
                prop_assert!(proposal.text.contains('a') && proposal.text == proposal.text.trim());
            }
        }
    }

    #[test]
    fn no_text_is_a_panic(reply in "\\PC{0,60}", around in "[`~>:\\n]{0,6}") {
        judge().read(&format!("{around}{reply}{around}"), &Known::default());
    }

    #[test]
    fn what_was_read_is_read_again_as_itself(number in 0..1000, reply in "[a-z ]{0,30}") {
        let text = format!("Name the department of ticket {number} {reply}").trim().to_owned();
        let once = judge().read(&format!("Sure! Here is the new instruction:\n```text\n{text}\n```"), &Known::default());
        prop_assert_eq!(&once.text, &text);
        prop_assert_eq!(judge().read(&once.text, &Known::default()).text, text);
    }
}
