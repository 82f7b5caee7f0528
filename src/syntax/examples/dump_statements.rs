//! Prints the statement lists of the files named on standard input, for comparison with
//! `test_data/reference_dump.py`.

use hz_syntax::{Grammar, Options, dump, parse, tree};
use std::io::BufRead;

fn main() {
    for file in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("== {file}");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) => {
                println!("unreadable: {e}");
                continue;
            }
        };
        let options = Options { file: &file, grammar: Grammar::of(&file).unwrap_or(Grammar::Recipe), baseconfig: true };
        let parsed = parse(&text, options);
        if tree(&text, options).text() != text.as_str() {
            println!("the tree differs from the file");
        }
        match parsed.error().map(|e| &e.diagnostic).or(parsed.unclosed.as_ref()) {
            Some(e) => println!("error\t{}", e.message),
            None => print!("{}", dump(&parsed)),
        }
    }
}
