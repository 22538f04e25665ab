use super::*;
use crate::unit_price::Each;
use proptest::prelude::*;

fn rates(json: &str) -> Rates {
    serde_json::from_str(json).unwrap()
}

fn flat(json: &str) -> Price {
    Price::new(rates(json), &[]).unwrap()
}

/// Claude Sonnet 4.5, as Anthropic published it in 2025: dearer for prompts of more than 200,000 tokens.
fn sonnet() -> Price {
    let base =
        r#"{"input":"3","cache_read":"0.3","cache_write_5m":"3.75","cache_write_1h":"6","output":"15"}"#;
    let above =
        r#"{"input":"6","cache_read":"0.6","cache_write_5m":"7.5","cache_write_1h":"12","output":"22.5"}"#;
    Price::new(rates(base), &[Tier { tokens: 200_000, rates: rates(above) }]).unwrap()
}

#[test]
fn each_bucket_has_its_own_price() {
    let usage = Usage {
        input_uncached: Some(1_000),
        cache_read: Some(10_000),
        cache_write_5m: Some(100),
        cache_write_1h: Some(10),
        output_text: Some(50),
        reasoning: Some(7),
        ..Usage::default()
    };
    // 3,000 + 3,000 + 375 + 60 + 750 + 105 millionths of a dollar.
    assert_eq!(sonnet().cost(&usage), Cost::NanoUsd(7_290_000));
}

#[test]
fn a_long_prompt_makes_the_whole_request_dearer_and_cached_tokens_count() {
    let of = |cache_read| {
        let usage = Usage {
            input_uncached: Some(1_000),
            cache_read: Some(cache_read),
            output_text: Some(10),
            ..Usage::default()
        };
        sonnet().cost(&usage)
    };
    assert_eq!(of(199_000), Cost::NanoUsd(3_000_000 + 59_700_000 + 150_000), "200,000 tokens are not above");
    assert_eq!(of(199_001), Cost::NanoUsd(6_000_000 + 119_400_600 + 225_000));
}

#[test]
fn what_is_not_known_makes_the_cost_unknown_and_what_is_not_used_does_not() {
    let price = flat(r#"{"input":"1","output":"2"}"#);
    let plain = Usage { input_uncached: Some(5), output_text: Some(1), ..Usage::default() };
    assert_eq!(price.cost(&plain), Cost::NanoUsd(7_000));
    assert_eq!(price.cost(&Usage { cache_read: Some(0), ..plain }), Cost::NanoUsd(7_000));
    assert_eq!(price.cost(&Usage { cache_read: Some(1), ..plain }), Cost::Unknown);
    assert_eq!(price.cost(&Usage { audio_in: Some(1), ..plain }), Cost::Unknown);
    assert_eq!(price.cost(&Usage::default()), Cost::Unknown, "nothing is known of the usage");
    let free = flat(r#"{"input":"0","output":"0"}"#);
    assert_eq!(free.cost(&plain), Cost::ZERO, "zero is a price");
    let only_input = flat(r#"{"input":"0.02"}"#);
    assert_eq!(only_input.cost(&Usage { input_uncached: Some(8), ..Usage::default() }), Cost::NanoUsd(160));
    assert_eq!(only_input.cost(&plain), Cost::Unknown);
}

#[test]
fn reasoning_costs_what_is_generated_unless_it_has_a_price() {
    let usage = Usage { reasoning: Some(3), ..Usage::default() };
    assert_eq!(flat(r#"{"output":"2"}"#).cost(&usage), Cost::NanoUsd(6_000));
    assert_eq!(flat(r#"{"output":"2","reasoning":"3"}"#).cost(&usage), Cost::NanoUsd(9_000));
}

#[test]
fn a_fee_is_charged_once_for_each_request() {
    let price = flat(r#"{"input":"1","output":"1","request":"0.005"}"#);
    let usage = Usage { input_uncached: Some(1), ..Usage::default() };
    assert_eq!(price.cost(&usage), Cost::NanoUsd(5_001_000));
}

#[test]
fn the_largest_usage_at_the_largest_price_overflows_into_unknown_only() {
    let largest = PerToken::from_pico_usd(crate::unit_price::RATE_MAX_PICO_USD);
    let rates = Rates {
        input: largest,
        cache_read: largest,
        cache_write_5m: largest,
        cache_write_1h: largest,
        output: largest,
        reasoning: largest,
        audio_in: largest,
        audio_out: largest,
        web_search: Each::from_pico_usd(crate::unit_price::RATE_MAX_PICO_USD),
        request: Each::from_pico_usd(crate::unit_price::RATE_MAX_PICO_USD),
    };
    let most = Some(u64::MAX);
    let usage = Usage {
        input_uncached: most,
        cache_read: most,
        cache_write_5m: most,
        cache_write_1h: most,
        output_text: most,
        reasoning: most,
        audio_in: most,
        audio_out: most,
        web_searches: most,
    };
    let price = Price::new(rates, &[]).unwrap();
    assert_eq!(price.cost_at(&usage, Factor::MAX), Cost::Unknown);
    assert_eq!(price.upper_bound(u64::MAX, u64::MAX, true, Factor::MAX), Cost::Unknown);
}

#[test]
fn tiers_ascend_and_have_a_limit() {
    let tier = |tokens| Tier { tokens, rates: Rates::default() };
    let many: Vec<Tier> = (1..=TIERS_MAX as u64).map(tier).collect();
    assert!(Price::new(Rates::default(), &many).is_some());
    let more: Vec<Tier> = (0..=TIERS_MAX as u64).map(tier).collect();
    assert_eq!(Price::new(Rates::default(), &more), None);
    assert_eq!(Price::new(Rates::default(), &[tier(2), tier(2)]), None);
}

#[test]
fn an_overlay_replaces_what_it_names_at_every_length() {
    // A batch at half of everything but of what is cached, with a tier of its own.
    let batch = [Tier { tokens: 100_000, rates: rates(r#"{"output":"9"}"#) }];
    let batch = Price::new(rates(r#"{"input":"1.5","output":"7.5"}"#), &batch).unwrap();
    let price = sonnet().overlaid(&batch);
    let of = |input| {
        let rates = price.rates(input);
        [rates.input, rates.cache_read, rates.output].map(|rate| rate.unwrap().pico_usd() / 1_000)
    };
    assert_eq!(of(100_000), [1_500, 300, 7_500]);
    assert_eq!(of(100_001), [1_500, 300, 9_000]);
    assert_eq!(of(200_001), [1_500, 600, 9_000]);
}

#[test]
fn an_upper_bound_without_a_price_for_plain_tokens_is_unknown() {
    assert_eq!(flat(r#"{"input":"1"}"#).upper_bound(1, 1, false, Factor::ONE), Cost::Unknown);
    assert_eq!(flat(r#"{"input":"1"}"#).upper_bound(1, 0, false, Factor::ONE), Cost::NanoUsd(1_000));
    let tiers = [Tier { tokens: 5, rates: Rates::default() }];
    let unpriced = Price::new(Rates::default(), &tiers).unwrap();
    assert_eq!(unpriced.upper_bound(9, 9, false, Factor::ONE), Cost::Unknown);
}

fn any_rate() -> impl Strategy<Value = Option<PerToken>> {
    prop::option::weighted(0.9, 0_u64..100_000_000)
        .prop_map(|pico| pico.map(|pico| PerToken::from_pico_usd(pico).unwrap()))
}

prop_compose! {
    fn any_rates()(tokens in prop::array::uniform8(any_rate()), fee in prop::option::of(0_u64..10_000_000_000)) -> Rates {
        let [input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, audio_in, audio_out] = tokens;
        let request = fee.map(|fee| Each::from_pico_usd(fee).unwrap());
        Rates {
            input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, audio_in, audio_out,
            web_search: request, request,
        }
    }
}

prop_compose! {
    fn any_usage()(figures in prop::array::uniform9(prop::option::of(0_u64..2_000_000))) -> Usage {
        Usage::of_figures(figures)
    }
}

/// Unknown is above everything: it is never cheaper than what is known.
fn height(cost: Cost) -> u128 {
    cost.nano_usd().map_or(u128::MAX, u128::from)
}

proptest! {
    #[test]
    fn a_cost_never_falls_when_a_bucket_grows(
        rates in any_rates(), usage in any_usage(), bucket in 0_usize..9, more in 1_u64..1_000_000,
    ) {
        prop_assume!(!usage.is_unknown());
        let price = Price::new(rates, &[]).unwrap();
        let mut figures = usage.figures();
        figures[bucket] = Some(figures[bucket].unwrap_or(0) + more);
        prop_assert!(height(price.cost(&Usage::of_figures(figures))) >= height(price.cost(&usage)));
    }

    #[test]
    fn without_tiers_and_fees_costs_add_up_within_a_nano_dollar(
        rates in any_rates(), one in any_usage(), other in any_usage(),
    ) {
        prop_assume!(!one.is_unknown() && !other.is_unknown());
        let price = Price::new(Rates { request: None, ..rates }, &[]).unwrap();
        let mut sum = one.figures();
        for (figure, more) in sum.iter_mut().zip(other.figures()) {
            *figure = figure.or(more).map(|_| figure.unwrap_or(0) + more.unwrap_or(0));
        }
        match (price.cost(&one), price.cost(&other), price.cost(&Usage::of_figures(sum))) {
            (Cost::NanoUsd(one), Cost::NanoUsd(other), Cost::NanoUsd(sum)) => {
                prop_assert!((one + other).abs_diff(sum) <= 1);
            }
            (one, other, sum) => prop_assert!(sum == Cost::Unknown && (one == sum || other == sum)),
        }
    }

    #[test]
    fn a_cost_is_within_half_a_nano_dollar_of_the_exact_one(
        tokens in 0_u64..1_000_000_000, pico in 0_u64..1_000_000_000, factor in 0_u32..=2_000_000,
    ) {
        let price = Price::new(Rates { input: PerToken::from_pico_usd(pico), ..Rates::default() }, &[]).unwrap();
        let usage = Usage { input_uncached: Some(tokens), ..Usage::default() };
        let cost = price.cost_at(&usage, Factor::from_millionths(factor).unwrap()).nano_usd().unwrap();
        let exact = u128::from(tokens) * u128::from(pico) * u128::from(factor);
        prop_assert!((u128::from(cost) * 1_000_000_000).abs_diff(exact) <= 500_000_000);
    }

    #[test]
    fn no_usage_within_an_upper_bound_costs_more(
        base in any_rates(), above in any_rates(), threshold in 0_u64..4_000_000, usage in any_usage(),
        slack in prop::array::uniform2(0_u64..1_000_000),
    ) {
        let usage = Usage { web_searches: None, ..usage };
        let price = Price::new(base, &[Tier { tokens: threshold, rates: above }]).unwrap();
        let (input, output) = (usage.input().unwrap_or(0) + slack[0], usage.output().unwrap_or(0) + slack[1]);
        let bound = price.upper_bound(input, output, true, Factor::ONE);
        if let (Cost::NanoUsd(cost), Cost::NanoUsd(bound)) = (price.cost(&usage), bound) {
            prop_assert!(cost <= bound, "{cost} > {bound}");
        }
    }

    #[test]
    fn any_figures_at_all_give_a_cost_or_none(figures in prop::array::uniform9(any::<Option<u64>>()), rates in any_rates()) {
        let price = Price::new(rates, &[]).unwrap();
        let _: Cost = price.cost_at(&Usage::of_figures(figures), Factor::MAX);
    }
}
