//! Differences of texts as apimachinery's `util/diff` shows them: a unified diff by `github.com/pmezard/go-difflib`, whose
//! way of matching lines is Python's.

use std::collections::{HashMap, HashSet, VecDeque};

/// Lines around a change.
const CONTEXT: usize = 3;

/// A run of lines that are the same in both texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    a: usize,
    b: usize,
    length: usize,
}

/// A stretch of lines `a.0..a.1` that becomes `b.0..b.1`.
#[derive(Clone, Copy, Debug)]
struct Step {
    is_same: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// The hunks; "" when there is no difference.
pub(crate) fn unified(a: &str, b: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split('\n').collect(), b.split('\n').collect());
    let mut out = String::new();
    for group in groups(steps(&a, &b)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (from, to) = (range(first.a.0, last.a.1), range(first.b.0, last.b.1));
        out.push_str(&format!("@@ -{from} +{to} @@\n"));
        for step in &group {
            let mut lines = |mark: char, lines: &[&str]| {
                for line in lines {
                    out.extend([mark]);
                    out.push_str(line);
                    out.push('\n');
                }
            };
            if step.is_same {
                lines(' ', &a[step.a.0..step.a.1]);
            } else {
                lines('-', &a[step.a.0..step.a.1]);
                lines('+', &b[step.b.0..step.b.1]);
            }
        }
    }
    out
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        1 => format!("{}", start + 1),
        // An empty range begins at the line before it.
        0 => format!("{start},0"),
        length => format!("{},{length}", start + 1),
    }
}

/// Where each line is in `b`, but for lines that are too frequent to tell anything.
fn positions<'a>(b: &[&'a str]) -> HashMap<&'a str, Vec<usize>> {
    let mut all: HashMap<&str, Vec<usize>> = HashMap::new();
    for (i, line) in b.iter().enumerate() {
        all.entry(line).or_default().push(i);
    }
    if b.len() >= 200 {
        let most = b.len() / 100 + 1;
        all.retain(|_, positions| positions.len() <= most);
    }
    all
}

fn longest(a: &[&str], b: &[&str], at: &HashMap<&str, Vec<usize>>, whole: (usize, usize, usize, usize)) -> Block {
    let (a_low, a_high, b_low, b_high) = whole;
    let mut best = Block { a: a_low, b: b_low, length: 0 };
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (i, line) in a.iter().enumerate().take(a_high).skip(a_low) {
        let mut next = HashMap::new();
        for &j in at.get(line).into_iter().flatten().filter(|&&j| j >= b_low).take_while(|&&j| j < b_high) {
            let length = j.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or_default() + 1;
            next.insert(j, length);
            if length > best.length {
                best = Block { a: i + 1 - length, b: j + 1 - length, length };
            }
        }
        lengths = next;
    }
    // Frequent lines do not begin a match, but they extend one.
    while best.a > a_low && best.b > b_low && a[best.a - 1] == b[best.b - 1] {
        best = Block { a: best.a - 1, b: best.b - 1, length: best.length + 1 };
    }
    while best.a + best.length < a_high && best.b + best.length < b_high && a[best.a + best.length] == b[best.b + best.length] {
        best.length += 1;
    }
    best
}

fn blocks(a: &[&str], b: &[&str]) -> Vec<Block> {
    let at = positions(b);
    let mut found = Vec::new();
    let mut open = VecDeque::from([(0, a.len(), 0, b.len())]);
    let mut seen = HashSet::new();
    while let Some(whole) = open.pop_front() {
        let (a_low, a_high, b_low, b_high) = whole;
        if a_low >= a_high || b_low >= b_high || !seen.insert(whole) {
            continue;
        }
        let block = longest(a, b, &at, whole);
        if block.length > 0 {
            found.push(block);
            open.push_back((a_low, block.a, b_low, block.b));
            open.push_back((block.a + block.length, a_high, block.b + block.length, b_high));
        }
    }
    found.sort_unstable_by_key(|block| block.a);
    let mut merged: Vec<Block> = Vec::new();
    for block in found {
        match merged.last_mut() {
            Some(last) if last.a + last.length == block.a && last.b + last.length == block.b => {
                last.length += block.length;
            }
            _ => merged.push(block),
        }
    }
    merged.push(Block { a: a.len(), b: b.len(), length: 0 });
    merged
}

fn steps(a: &[&str], b: &[&str]) -> Vec<Step> {
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    for block in blocks(a, b) {
        if i < block.a || j < block.b {
            steps.push(Step { is_same: false, a: (i, block.a), b: (j, block.b) });
        }
        (i, j) = (block.a + block.length, block.b + block.length);
        if block.length > 0 {
            steps.push(Step { is_same: true, a: (block.a, i), b: (block.b, j) });
        }
    }
    steps
}

/// Splits at long stretches without a change.
fn groups(mut steps: Vec<Step>) -> Vec<Vec<Step>> {
    if let Some(first) = steps.first_mut().filter(|step| step.is_same) {
        first.a.0 = first.a.0.max(first.a.1.saturating_sub(CONTEXT));
        first.b.0 = first.b.0.max(first.b.1.saturating_sub(CONTEXT));
    }
    if let Some(last) = steps.last_mut().filter(|step| step.is_same) {
        last.a.1 = last.a.1.min(last.a.0 + CONTEXT);
        last.b.1 = last.b.1.min(last.b.0 + CONTEXT);
    }
    let (mut groups, mut group) = (Vec::new(), Vec::new());
    for mut step in steps {
        if step.is_same && step.a.1 - step.a.0 > 2 * CONTEXT {
            let mut head = step;
            head.a.1 = step.a.1.min(step.a.0 + CONTEXT);
            head.b.1 = step.b.1.min(step.b.0 + CONTEXT);
            group.push(head);
            groups.push(std::mem::take(&mut group));
            step.a.0 = step.a.0.max(step.a.1.saturating_sub(CONTEXT));
            step.b.0 = step.b.0.max(step.b.1.saturating_sub(CONTEXT));
        }
        group.push(step);
    }
    if !(group.is_empty() || (group.len() == 1 && group[0].is_same)) {
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks() {
        let a = (1..=20).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        let b = a.replace("\n5\n", "\nfive\n").replace("\n17\n", "\n");
        assert_eq!(
            unified(&a, &b),
            "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ -14,7 +14,6 @@\n 14\n 15\n 16\n-17\n 18\n 19\n 20\n"
        );
        assert_eq!(unified(&a, &a), "");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(a in "[ab\\n]{0,30}", b in "[ab\\n]{0,30}") {
            let _ = unified(&a, &b);
        }
    }
}
