//! Selection: a few different tips, the relevant ones more often.

use promptopt_core::signature::Signature;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{PromptingTips, Tip};

impl PromptingTips {
    /// Selects up to `k` different tips for a signature: a weighted draw by
    /// [`relevance`](Self::relevance), without replacement, in the order drawn.
    ///
    /// Tips of relevance 0 are never selected, so there are fewer than `k` where fewer apply. The
    /// same library, signature and state of `rng` give the same tips on every machine.
    pub fn select<R: Rng + ?Sized>(&self, signature: &Signature, rng: &mut R, k: usize) -> Vec<&Tip> {
        let mut rest: Vec<(&Tip, f64)> = self
            .iter()
            .map(|tip| (tip, self.relevance(tip, signature)))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let mut selected = Vec::new();
        while selected.len() < k && !rest.is_empty() {
            // Sums, products and comparisons give the same bits everywhere, which the powers and
            // logarithms of the well-known one-pass methods do not.
            let total: f64 = rest.iter().map(|(_, weight)| weight).sum();
            let mut left = rng.random::<f64>() * total;
            let drawn = rest.iter().position(|(_, weight)| {
                left -= weight;
                left < 0.0
            });
            // Rounding can leave a rest behind the last tip, which then is the one that was drawn.
            let (tip, _) = rest.remove(drawn.unwrap_or(rest.len() - 1));
            selected.push(tip);
        }
        selected
    }

    /// [`select`](Self::select) with a generator of its own, seeded with `seed`.
    pub fn select_with_seed(&self, signature: &Signature, seed: u64, k: usize) -> Vec<&Tip> {
        self.select(signature, &mut ChaCha8Rng::seed_from_u64(seed), k)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{Applies, Sign, format_for_prompt};

    fn signature() -> impl Strategy<Value = Signature> {
        let input = prop::sample::select(vec!["question", "ticket", "context, question"]);
        let kind =
            prop::sample::select(vec!["str", "int", "enum[a, b]", "list[str]", "object", "list[bool]"]);
        (input, kind, any::<bool>()).prop_map(|(input, kind, reasons)| {
            let reasoning = if reasons { "reasoning, " } else { "" };
            Signature::parse(&format!("{input} -> {reasoning}answer: {kind}")).unwrap()
        })
    }

    fn library() -> impl Strategy<Value = PromptingTips> {
        let applies = prop::sample::select(vec![
            Applies::Always,
            Applies::Preferably(vec![Sign::LongInput]),
            Applies::Only(vec![Sign::LabelOutput, Sign::StructuredOutput]),
        ]);
        let tips =
            prop::collection::btree_map("[a-f]{1,2}", ("[a-zß]{1,20}", applies, 0.0..1000.0_f64), 0..12);
        tips.prop_map(|tips| {
            let tip = |(key, (text, applies, weight)): (String, (String, Applies, f64))| {
                Tip::new(key, text)?.with_applies(applies)?.with_weight(weight)
            };
            PromptingTips::try_from(tips.into_iter().map(tip).collect::<Result<Vec<_>, _>>().unwrap())
                .unwrap()
        })
    }

    fn either() -> impl Strategy<Value = PromptingTips> {
        prop_oneof![Just(PromptingTips::default()), library()]
    }

    fn keys(tips: &PromptingTips) -> HashSet<&str> {
        tips.iter().map(Tip::key).collect()
    }

    proptest! {
        #[test]
        fn a_selection_is_a_set_of_relevant_tips(tips in either(), signature in signature(), seed: u64, k in 0..40_usize) {
            let selected = tips.select_with_seed(&signature, seed, k);
            let relevant = tips.iter().filter(|tip| tips.relevance(tip, &signature) > 0.0).count();
            prop_assert_eq!(selected.len(), k.min(relevant));
            let distinct: HashSet<&str> = selected.iter().map(|tip| tip.key()).collect();
            prop_assert_eq!(distinct.len(), selected.len());
            for tip in &selected {
                prop_assert_eq!(tips.get(tip.key()), Some(*tip));
                prop_assert!(tips.relevance(tip, &signature) > 0.0);
            }
        }

        #[test]
        fn a_seed_decides_the_selection(tips in either(), signature in signature(), seed: u64, k in 0..40_usize) {
            let selected = tips.select_with_seed(&signature, seed, k);
            prop_assert_eq!(&selected, &tips.select_with_seed(&signature, seed, k));
            // A smaller selection is the beginning of a larger one.
            let more = tips.select_with_seed(&signature, seed, k + 1);
            prop_assert_eq!(&more[..selected.len()], &selected[..]);
        }

        #[test]
        fn a_merged_library_has_all_keys_and_the_later_tips(first in library(), later in library()) {
            let merged = first.clone().merge(later.clone());
            prop_assert_eq!(keys(&merged), &keys(&first) | &keys(&later));
            prop_assert_eq!(merged.len(), keys(&merged).len());
            for tip in &merged {
                prop_assert_eq!(Some(tip), later.get(tip.key()).or(first.get(tip.key())));
            }
        }

        #[test]
        fn the_formatted_text_holds_every_tip_on_a_line(tips in either(), signature in signature(), seed: u64) {
            let lines = |tips: Vec<&Tip>| tips.iter().map(|tip| format!("- {}", tip.text())).collect::<Vec<_>>();
            let text = format_for_prompt(&tips);
            prop_assert_eq!(text.lines().collect::<Vec<_>>(), lines(tips.iter().collect()));
            let selected = tips.select_with_seed(&signature, seed, 5);
            let text = format_for_prompt(selected.iter().copied());
            prop_assert_eq!(text.lines().collect::<Vec<_>>(), lines(selected));
        }
    }

    /// How often a tip is among three, over 2,000 seeds.
    fn frequency(key: &str, signature: &str) -> usize {
        let (tips, signature) = (PromptingTips::default(), Signature::parse(signature).unwrap());
        let selected =
            |seed: &u64| tips.select_with_seed(&signature, *seed, 3).iter().any(|tip| tip.key() == key);
        (0..2000).filter(selected).count()
    }

    #[test]
    fn tips_are_selected_where_they_apply() {
        assert_eq!(frequency("structured_output", "question -> answer"), 0);
        let structured = frequency("structured_output", "question -> answers: list[str]");
        let general = frequency("clear_language", "question -> answers: list[str]");
        assert!(structured > general + 200, "{structured} against {general}");
        assert!(general > 200, "{general}");
        let checks = |signature| frequency("self_check", signature);
        assert!(checks("question -> answers: list[str]") > checks("question -> answer") + 100);
    }

    #[test]
    fn the_first_draw_follows_the_weights() {
        let tip = |key, weight| Tip::new(key, "text").and_then(|tip| tip.with_weight(weight)).unwrap();
        let tips =
            PromptingTips::try_from(vec![tip("one", 1.0), tip("three", 3.0), tip("never", 0.0)]).unwrap();
        let signature = Signature::parse("a -> b").unwrap();
        let first = |seed| tips.select_with_seed(&signature, seed, 1)[0].key();
        let threes = (0..4000).filter(|seed| first(*seed) == "three").count();
        assert!((2850..3150).contains(&threes), "{threes}");
        assert!((0..4000).all(|seed| first(seed) != "never"));
    }

    #[test]
    fn a_selection_stays_what_it_was() {
        let (tips, signature) =
            (PromptingTips::default(), Signature::parse("text -> label: enum[a, b]").unwrap());
        let keys: Vec<&str> = tips.select_with_seed(&signature, 42, 4).iter().map(|tip| tip.key()).collect();
        assert_eq!(keys, ["grounding", "decision_criteria", "demo_pattern", "step_decomposition"]);
    }
}
