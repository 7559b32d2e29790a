//! The page that `--html` writes, in a real browser: needs chromium.

use std::path::{Path, PathBuf};
use std::process::Command;

use pipewatch_tests::{Browser, Program, pipewatch};
use serde_json::Value;

const TAB: u8 = 9;
const ENTER: u8 = 13;
const WIDTHS: [u32; 2] = [1200, 400];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// The page of a recorded run.
struct Page {
    folder: tempfile::TempDir,
}

impl Page {
    fn of(shape: &str) -> Self {
        Self::of_changed(shape, str::to_owned)
    }

    /// Of a run that was recorded otherwise.
    fn of_changed(shape: &str, change: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let packed = format!("traces/{shape}.trace.gz");
        let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join(packed);
        let unpacked = Command::new("gzip").arg("-dc").arg(packed).output();
        let trace = folder.path().join("trace");
        let text = String::from_utf8(unpacked.expect("gzip").stdout).expect("a trace");
        std::fs::write(&trace, change(&text)).expect("room for a trace");
        let page = Self { folder };
        let [trace, html] = [trace, page.path()].map(|path| path.display().to_string());
        let output = Program::run(pipewatch(&["replay", &trace, "--html", &html]));
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{output:?}");
        page
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("page.html")
    }
}

fn number(value: Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// How far the page is wider than the window, in pixels.
const TOO_WIDE: &str = "document.documentElement.scrollWidth - innerWidth";

/// Texts of less contrast with what is behind them than WCAG 2 asks for (1.4.3).
const FAINT: &str = r#"(() => {
    const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
        .map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
    const behind = (element) => {
        if (element.matches('.bar-text')) return getComputedStyle(document.querySelector('.bar')).fill;
        if (element.matches('.held')) return getComputedStyle(document.querySelector('.band')).fill;
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (channels(colour)[3] !== 0) return colour;
        }
    };
    const faint = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!own || element.tagName === 'title') continue;
        const style = getComputedStyle(element);
        const colour = element instanceof SVGElement ? style.fill : style.color;
        const [a, b] = [colour, behind(element)].map((c) => light(channels(c)));
        const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (contrast < 4.5) faint.push(`${element.outerHTML.slice(0, 80)}: ${contrast}`);
    }
    return faint;
})()"#;

#[test]
fn it_needs_no_network_and_no_script_and_nothing_complains() {
    let mut browser = Browser::start();
    for shape in ["fork-race", "orphan-pool", "in-flight", "node", "good"] {
        let page = Page::of(shape);
        browser.open(&page.path());
        let own = format!("file://{}", page.path().display());
        assert_eq!(browser.requests(), [own], "{shape}");
        assert_eq!(browser.complaints(), [&Value::Null; 0], "{shape}");
        assert_eq!(browser.value("document.scripts.length"), 0, "{shape}");
        // The policy lets the style of the page apply.
        let columns = "getComputedStyle(document.querySelector('dl')).display";
        assert_eq!(browser.value(columns), "grid", "{shape}");
    }
    let title = browser.value("document.title");
    assert_eq!(title, "pipewatch: nothing hung");
}

#[test]
fn names_of_others_are_text_to_a_browser() {
    let mut browser = Browser::start();
    for name in [
        r#""><img src=x>"#,
        "<script>a()</",
        "--></style><b>",
        "' onload='a()",
    ] {
        let escaped = name.replace('"', r#"\""#);
        let page = Page::of_changed("fork-race", |trace| trace.replace("python3", &escaped));
        browser.open(&page.path());
        let odd = "document.querySelectorAll('script, img, section b:not(.labels *, li b), [onload]').length";
        assert_eq!(browser.value(odd), 0, "{name}");
        assert_eq!(browser.requests().len(), 1, "{name}");
        assert_eq!(browser.complaints(), [&Value::Null; 0], "{name}");
        let heading = browser.value("document.querySelector('h2').textContent");
        let heading = heading.as_str().expect("a text");
        assert!(
            heading.contains(&format!(": {name} (pid 21005) holds")),
            "{heading}"
        );
    }
}

#[test]
fn the_wait_is_reached_and_opened_by_keys() {
    let page = Page::of("fork-race");
    let mut browser = Browser::start();
    browser.open(&page.path());
    browser.emulate(1200, "screen", "light");
    let shown = "getComputedStyle(document.querySelector('#hang-1-read .more')).display";
    assert_eq!(browser.value(shown), "none");

    let focused = "document.activeElement.getAttribute('href')";
    let mut way = Vec::new();
    while way.last() != Some(&Value::from("#hang-1-read")) {
        assert!(way.len() < 20, "the wait is not reached: {way:?}");
        browser.press("Tab", TAB);
        way.push(browser.value(focused));
    }
    // The index, and what happened before.
    let before = [
        "#hang-1",
        "#hang-1-step-1",
        "#hang-1-step-2",
        "#hang-1-step-3",
    ];
    assert_eq!(way[..way.len() - 1], before);
    let told = browser.value("document.activeElement.getAttribute('aria-label')");
    assert_eq!(
        told,
        "0 s: python3 (pid 21003) begins to wait: read of fd 3"
    );
    let ring = "getComputedStyle(document.activeElement.querySelector('.ring')).strokeWidth";
    assert_eq!(browser.value(ring), "3px");

    browser.press("Enter", ENTER);
    assert_eq!(browser.value("location.hash"), "#hang-1-read");
    assert_eq!(browser.value(shown), "block");
    // What was opened is seen, and so is the picture.
    let seen = "(() => { const top = (it) => document.querySelector(it).getBoundingClientRect().top; \
                return top('#hang-1-read') < innerHeight && top('.bar') > 0 })()";
    assert_eq!(browser.value(seen), true);
}

#[test]
fn a_click_on_the_bar_opens_it_too() {
    let page = Page::of("fork-race");
    let mut browser = Browser::start();
    browser.open(&page.path());
    browser.emulate(1200, "screen", "light");
    let at = |browser: &mut Browser, edge| {
        number(browser.value(&format!(
            "(() => {{ const box = document.querySelector('.bar').getBoundingClientRect(); \
             return box.{edge} }})()"
        )))
    };
    let x = at(&mut browser, "left + box.width / 2");
    let y = at(&mut browser, "top + box.height / 2");
    browser.click(x, y);
    assert_eq!(browser.value("location.hash"), "#hang-1-read");
}

#[test]
fn it_fits_and_can_be_read_in_any_light() {
    let mut browser = Browser::start();
    for shape in ["fork-race", "git-hook", "passed"] {
        let page = Page::of(shape);
        browser.open(&page.path());
        for (width, scheme) in WIDTHS
            .into_iter()
            .zip(SCHEMES)
            .chain(WIDTHS.into_iter().rev().zip(SCHEMES))
        {
            browser.emulate(width, "screen", scheme);
            let too_wide = number(browser.value(TOO_WIDE));
            assert!(too_wide <= 0.0, "{shape}: {too_wide} px more than {width}");
            assert_eq!(
                browser.value(FAINT),
                Value::from(Vec::<Value>::new()),
                "{shape} {scheme}"
            );
        }
    }
}

#[test]
fn on_paper_all_is_told() {
    let page = Page::of("fork-race");
    let mut browser = Browser::start();
    browser.open(&page.path());
    browser.emulate(700, "print", "dark");
    let hidden = "[...document.querySelectorAll('.more')].filter((it) => !it.offsetHeight && it.textContent).length";
    assert_eq!(browser.value(hidden), 0);
    let paper = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.value(paper), "rgb(255, 255, 255)");
    assert_eq!(browser.value(FAINT), Value::from(Vec::<Value>::new()));
}
