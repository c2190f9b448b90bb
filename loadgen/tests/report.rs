//! The HTML page about runs and about comparisons, from files as the tools write them.

use sillon_loadgen::report::{Input, ReportError, read, render};

const RUN: &str = include_str!("report/run.json");
const COMPARISON: &str = include_str!("report/comparison.json");

fn input(text: &str) -> Input {
    read(text, "run.json").unwrap()
}

fn page(text: &str) -> String {
    render(&[input(text)]).unwrap()
}

/// The file with a part of the run replaced.
fn with(path: &[&str], value: serde_json::Value) -> String {
    let mut document: serde_json::Value = serde_json::from_str(RUN).unwrap();
    let mut at = &mut document["runs"][0];
    for name in path {
        at = &mut at[*name];
    }
    *at = value;
    document.to_string()
}

/// What stands between two marks, every time.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let parts = text.split(from).skip(1);
    parts.map(|part| part.split(to).next().unwrap()).collect()
}

#[test]
fn a_page_needs_nothing_from_anywhere_else() {
    for text in [RUN, COMPARISON] {
        let page = page(text);
        for foreign in [
            "<script", "src=", "href=", "url(", "@import", "http:", "https:",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.starts_with("<!doctype html>"));
        assert!(page.contains("prefers-color-scheme: dark"));
        assert!(page.contains("name=\"viewport\" content=\"width=device-width"));
    }
}

#[test]
fn every_element_that_is_opened_is_closed() {
    for text in [RUN, COMPARISON] {
        let page = page(text);
        for name in [
            "figure", "svg", "table", "tr", "td", "ul", "li", "section", "text", "div",
        ] {
            let opened = page.matches(&format!("<{name}>")).count()
                + page.matches(&format!("<{name} ")).count();
            assert_eq!(
                opened,
                page.matches(&format!("</{name}>")).count(),
                "{name}"
            );
        }
    }
}

#[test]
fn every_chart_is_drawn_for_a_desktop_and_for_a_phone_and_says_what_it_shows() {
    for text in [RUN, COMPARISON] {
        let page = page(text);
        let wide = page.matches("<svg class=\"wide\"").count();
        assert!(wide >= 3, "{wide}");
        assert_eq!(wide, page.matches("<svg class=\"narrow\"").count());
        assert_eq!(wide, page.matches("<figure>").count());
        assert!(
            between(&page, "aria-label=\"", "\"")
                .iter()
                .all(|label| label.len() > 20)
        );
    }
}

#[test]
fn no_coordinate_is_lost() {
    for text in [RUN, COMPARISON] {
        let page = page(text);
        assert!(
            !page.contains("NaN") && !page.contains("inf"),
            "a shape has no place"
        );
    }
}

#[test]
fn a_run_shows_its_figures_its_charts_and_its_scenario() {
    let page = page(RUN);
    for part in [
        "<h1>sillon: sixteen</h1>",
        "<b>1,000</b><span>requests/s</span>",
        "<b>3.2 ms</b><span>p50</span>",
        "<h3>Latency by percentile</h3>",
        "<h3>Latency over time</h3>",
        "<h3>Throughput over time</h3>",
        ">percentile</text>",
        ">99.9</text>",
        ">ms</text>",
        ">schedule</li>",
        "<th scope=\"row\">records.value_bytes</th><td>1024</td>",
        "<th scope=\"row\">kernel</th>",
        "<strong>Verified.</strong> 48,000 records were acknowledged",
        "<strong>Not bound by the generator:</strong> 31 %",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_run_that_is_not_verified_says_so_first() {
    let text = with(
        &["verification"],
        serde_json::json!({
            "passed": false, "findings": ["offset 17 holds <another> record"], "findings_count": 3,
            "acknowledged_records": 10, "log_records": 9, "read_back_records": 9,
            "read_back_batches": 9, "is_complete": true, "consumed_batches": 0,
            "consumed_batches_unchecked": 0, "took_s": 1.0
        }),
    );
    let page = page(&text);
    let verdict = between(&page, "<li class=\"bad\">", "</li>");
    assert!(verdict[0].contains("Not verified"), "{verdict:?}");
    assert!(
        verdict[0].contains("&lt;another&gt; record; and 2 more"),
        "{verdict:?}"
    );
}

#[test]
fn a_run_that_the_generator_may_bound_is_marked() {
    let ceiling =
        serde_json::json!({"requests_per_s": 1250.0, "share": 0.8, "is_generator_bound": true});
    let page = page(&with(&["ceiling"], ceiling));
    let marks = between(&page, "<li class=\"warn\">", "</li>");
    assert_eq!(marks.len(), 1);
    assert!(marks[0].contains("Generator-bound.") && marks[0].contains("80 % of the 1,250"));
}

#[test]
fn a_run_without_latencies_shows_the_rest() {
    let page = page(&with(&["produce", "latency"], serde_json::Value::Null));
    assert!(page.contains("<h3>Throughput over time</h3>"));
    assert!(page.contains("<td>-</td>"));
}

#[test]
fn several_runs_are_drawn_in_the_same_charts() {
    let other = with(&["scenario", "name"], "one & only".into());
    let page = render(&[input(RUN), input(&other), input(RUN)]).unwrap();
    assert!(page.contains("<h1>3 runs</h1>"));
    for name in ["sixteen", "one &amp; only", "sixteen (2)"] {
        assert!(
            page.matches(&format!("</svg>{name}</li>")).count() >= 2,
            "{name}"
        );
    }
}

#[test]
fn a_comparison_shows_ratios_with_their_spread_beside_control_and_limit() {
    let page = page(COMPARISON);
    for part in [
        "<h1>sillon compared with kafka</h1>",
        "<h3>Requests: sillon / kafka</h3>",
        "<h3>Broker CPU: sillon / kafka</h3>",
        "class A, not flushed",
        "class B, flushed",
        "same broker twice",
        "physical limit",
        "higher is better",
        "lower is better",
        "times, log scale",
        "<strong>Every run counts:</strong>",
        "Across the classes",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let numbers = between(&page, "<text class=\"number\"", "</text>");
    assert!(
        numbers.iter().any(|number| number.ends_with('×')),
        "{numbers:?}"
    );
}

#[test]
fn a_refused_run_of_a_comparison_is_named() {
    let mut document: serde_json::Value = serde_json::from_str(COMPARISON).unwrap();
    document["cells"][1]["refused"] = serde_json::json!(["kafka, round 1: it did not flush"]);
    let page = page(&document.to_string());
    let verdicts = between(&page, "<li class=\"bad\">", "</li>");
    assert_eq!(verdicts.len(), 1);
    assert!(verdicts[0].contains("class B.") && verdicts[0].contains("it did not flush"));
}

#[test]
fn a_file_of_another_kind_or_version_is_refused_with_what_to_do() {
    let error = read("[1]", "notes.json").unwrap_err().to_string();
    assert!(
        error.contains("notes.json") && error.contains("sillon bench --format json"),
        "{error}"
    );
    let error = read(r#"{"format": 99, "runs": []}"#, "new.json").unwrap_err();
    assert!(
        matches!(error, ReportError::Version { found: 99, .. }),
        "{error}"
    );
    let error = read(r#"{"format": "other", "format_version": 1}"#, "x.json").unwrap_err();
    assert!(matches!(error, ReportError::Syntax { .. }), "{error}");
}

#[test]
fn a_comparison_stands_alone_and_nothing_has_no_page() {
    let error = render(&[input(COMPARISON), input(RUN)]).unwrap_err();
    assert!(matches!(error, ReportError::Mixed));
    let nothing = input(r#"{"format": 1, "runs": []}"#);
    assert!(matches!(
        render(&[nothing]).unwrap_err(),
        ReportError::Nothing
    ));
}
