//! As much of Lua as the ledger's scripts need: what runs is the text that the program sends, and
//! not somebody's idea of it. What it does not know, it stops at.

use std::{collections::BTreeMap, iter::Peekable, vec::IntoIter};

/// A value of a script, and what Redis answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// `false`, as which a script finds what is not there.
    Nothing,
    True,
    Number(i64),
    Text(Vec<u8>),
    Done,
}

impl Value {
    fn is_true(&self) -> bool {
        *self != Self::Nothing
    }

    fn text(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string().into_bytes(),
            Self::Nothing | Self::True | Self::Done => panic!("no text: {self:?}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Number(i64),
    Sign(&'static str),
}

const SIGNS: [&str; 11] = ["==", "~=", "(", ")", "[", "]", ",", "=", "#", ".", ";"];

/// Runs a script; `call` is what `redis.call` does.
pub(crate) fn run(
    script: &str,
    keys: &[Vec<u8>],
    arguments: &[Vec<u8>],
    call: &mut dyn FnMut(Vec<Vec<u8>>) -> Value,
) -> Value {
    let tokens = tokens(script).into_iter().peekable();
    let mut run = Run {
        tokens,
        keys,
        arguments,
        call,
        names: BTreeMap::new(),
        returned: None,
    };
    run.block(true);
    assert!(
        run.tokens.next().is_none(),
        "the script goes on after its end: {script}"
    );
    run.returned.unwrap_or(Value::Nothing)
}

fn tokens(mut text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    loop {
        text = text.trim_start();
        let Some(first) = text.chars().next() else {
            return tokens;
        };
        let length = |what: fn(char) -> bool| text.find(|c| !what(c)).unwrap_or(text.len());
        let (next, taken) = if first.is_ascii_digit() {
            let length = length(|c| c.is_ascii_digit());
            (Token::Number(text[..length].parse().unwrap()), length)
        } else if first.is_ascii_alphabetic() {
            let length = length(|c| c.is_ascii_alphanumeric() || c == '_');
            (Token::Word(text[..length].to_owned()), length)
        } else if first == '\'' {
            let length = text[1..].find('\'').unwrap();
            (Token::Text(text[1..=length].to_owned()), length + 2)
        } else {
            let sign = SIGNS
                .into_iter()
                .find(|sign| text.starts_with(sign))
                .unwrap_or_else(|| panic!("no sign: {text}"));
            (Token::Sign(sign), sign.len())
        };
        tokens.push(next);
        text = &text[taken..];
    }
}

struct Run<'a> {
    tokens: Peekable<IntoIter<Token>>,
    keys: &'a [Vec<u8>],
    arguments: &'a [Vec<u8>],
    call: &'a mut dyn FnMut(Vec<Vec<u8>>) -> Value,
    names: BTreeMap<String, Value>,
    returned: Option<Value>,
}

impl Run<'_> {
    /// Statements up to the end of their block. Those that are not `live` are read and not done.
    fn block(&mut self, live: bool) {
        while let Some(Token::Word(word)) = self.tokens.peek().cloned() {
            if ["end", "else", "elseif"].contains(&word.as_str()) {
                return;
            }
            self.tokens.next();
            let live = live && self.returned.is_none();
            match word.as_str() {
                "if" => self.branches(live),
                "return" => {
                    let value = self.expression(live);
                    if live {
                        self.returned = Some(value);
                    }
                }
                "redis" => drop(self.redis(live)),
                "local" => {
                    let name = self.word();
                    self.assign(name, live);
                }
                _ => self.assign(word, live),
            }
        }
    }

    fn branches(&mut self, live: bool) {
        let mut open = live;
        let mut condition = self.expression(open).is_true();
        loop {
            self.expect_word("then");
            self.block(open && condition);
            open &= !condition;
            match self.word().as_str() {
                "end" => return,
                "elseif" => condition = self.expression(open).is_true(),
                "else" => {
                    self.block(open);
                    return self.expect_word("end");
                }
                other => panic!("no branch: {other}"),
            }
        }
    }

    fn assign(&mut self, first: String, live: bool) {
        let mut names = vec![first];
        while self.takes(",") {
            names.push(self.word());
        }
        self.expect("=");
        for (place, name) in names.into_iter().enumerate() {
            if place > 0 {
                self.expect(",");
            }
            let value = self.expression(live);
            if live {
                self.names.insert(name, value);
            }
        }
    }

    fn expression(&mut self, live: bool) -> Value {
        let mut value = self.conjunction(live);
        while self.takes_word("or") {
            let decided = value.is_true();
            let other = self.conjunction(live && !decided);
            value = if decided { value } else { other };
        }
        value
    }

    fn conjunction(&mut self, live: bool) -> Value {
        let mut value = self.comparison(live);
        while self.takes_word("and") {
            let decided = !value.is_true();
            let other = self.comparison(live && !decided);
            value = if decided { value } else { other };
        }
        value
    }

    fn comparison(&mut self, live: bool) -> Value {
        let value = self.operand(live);
        let truth = |is_true| if is_true { Value::True } else { Value::Nothing };
        if self.takes("==") {
            return truth(value == self.operand(live));
        }
        if self.takes("~=") {
            return truth(value != self.operand(live));
        }
        value
    }

    fn operand(&mut self, live: bool) -> Value {
        match self.tokens.next().expect("an operand") {
            Token::Text(text) => Value::Text(text.into_bytes()),
            Token::Number(number) => Value::Number(number),
            Token::Sign("(") => {
                let value = self.expression(live);
                self.expect(")");
                value
            }
            Token::Sign("#") => {
                let text = self.operand(live);
                Value::Number(if live {
                    i64::try_from(text.text().len()).unwrap()
                } else {
                    0
                })
            }
            Token::Word(word) => match word.as_str() {
                "redis" => self.redis(live),
                "string" => self.sub(live),
                "KEYS" | "ARGV" => {
                    self.expect("[");
                    let Value::Number(place) = self.operand(live) else {
                        panic!("no place")
                    };
                    self.expect("]");
                    let list = if word == "KEYS" {
                        self.keys
                    } else {
                        self.arguments
                    };
                    Value::Text(list[usize::try_from(place).unwrap() - 1].clone())
                }
                "true" => Value::True,
                "false" => Value::Nothing,
                _ if live => self
                    .names
                    .get(&word)
                    .unwrap_or_else(|| panic!("no such name: {word}"))
                    .clone(),
                _ => Value::Nothing,
            },
            other @ Token::Sign(_) => panic!("no operand: {other:?}"),
        }
    }

    /// `redis.call(…)`, of which `redis` has been read.
    fn redis(&mut self, live: bool) -> Value {
        self.expect(".");
        self.expect_word("call");
        let arguments = self.list(live);
        if live {
            (self.call)(arguments.into_iter().map(Value::text).collect())
        } else {
            Value::Nothing
        }
    }

    /// `string.sub(text, from, to)`.
    fn sub(&mut self, live: bool) -> Value {
        self.expect(".");
        self.expect_word("sub");
        let arguments = self.list(live);
        if !live {
            return Value::Nothing;
        }
        let [Value::Text(text), Value::Number(from), Value::Number(to)] = arguments.as_slice()
        else {
            panic!("sub of {arguments:?}")
        };
        let to = usize::try_from(*to).unwrap().min(text.len());
        Value::Text(text[usize::try_from(*from).unwrap() - 1..to].to_vec())
    }

    fn list(&mut self, live: bool) -> Vec<Value> {
        self.expect("(");
        let mut values = vec![self.expression(live)];
        while self.takes(",") {
            values.push(self.expression(live));
        }
        self.expect(")");
        values
    }

    fn word(&mut self) -> String {
        match self.tokens.next() {
            Some(Token::Word(word)) => word,
            other => panic!("no word: {other:?}"),
        }
    }

    fn expect_word(&mut self, word: &str) {
        assert_eq!(self.word(), word);
    }

    fn expect(&mut self, sign: &'static str) {
        assert!(
            self.takes(sign),
            "{sign} was expected before {:?}",
            self.tokens.peek()
        );
    }

    fn takes(&mut self, sign: &'static str) -> bool {
        self.tokens.next_if_eq(&Token::Sign(sign)).is_some()
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.tokens
            .next_if_eq(&Token::Word(word.to_owned()))
            .is_some()
    }
}
