//! PTX text to its tree. Everything that the grammar of the PTX ISA allows in the modules that compilers emit; what is not understood is an
//! error with its line, never skipped. Not here: what instructions do, or whether they exist.

mod constant;
mod declaration;
mod lexer;
mod statement;
pub mod syntax;

use lexer::{Kind, Token};
use syntax::{Function, Linkage, Module};

/// A text is no PTX.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Something stands where it cannot.
    #[error("{0} is not expected here")]
    Unexpected(String),
    /// Something else is needed.
    #[error("{found} where {needed} is needed")]
    Needed {
        /// What could stand there.
        needed: String,
        /// What does.
        found: String,
    },
    /// A comment or a text goes on to the end.
    #[error("a {0} without an end")]
    Unended(&'static str),
}

/// Reads a module.
///
/// # Errors
/// The first thing that is no PTX, with its line.
pub fn parse(text: &str) -> Result<Module, Error> {
    Parser { tokens: lexer::words(text)?, next: 0, depth: 0 }.module()
}

/// Where reading has come to.
struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// Of scopes, parentheses and lists that are open.
    depth: usize,
}

/// Nothing that a compiler emits is nested so deep.
const DEEPEST: usize = 200;

impl Parser {
    /// The word so many after the next.
    fn peek(&self, ahead: usize) -> Option<&Kind> {
        self.tokens.get(self.next + ahead).map(|token| &token.kind)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn skip(&mut self) {
        self.next += 1;
    }

    /// The error that the next word is not what is needed.
    fn unexpected(&self, needed: &str) -> Error {
        let found = match self.peek(0) {
            None => "the end".to_owned(),
            Some(Kind::Word(word)) => word.clone(),
            Some(Kind::Dot(word)) => format!(".{word}"),
            Some(Kind::Number(number)) => format!("{number:?}"),
            Some(Kind::Text(text)) => format!("{text:?}"),
            Some(Kind::Sign(sign)) => (*sign).to_owned(),
        };
        Error { line: self.line(), fault: Fault::Needed { needed: needed.to_owned(), found } }
    }

    fn at_sign(&self, sign: &str) -> bool {
        matches!(self.peek(0), Some(Kind::Sign(next)) if *next == sign)
    }

    /// Reads what may have its like inside.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEEPEST {
            return Err(Error {
                line: self.line(),
                fault: Fault::Unexpected(format!("nesting deeper than {DEEPEST}")),
            });
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// Takes this sign if it comes next.
    fn take_sign(&mut self, sign: &str) -> bool {
        let there = self.at_sign(sign);
        self.next += usize::from(there);
        there
    }

    fn sign(&mut self, sign: &str) -> Result<(), Error> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(sign)) }
    }

    /// Takes this word with its dot if it comes next.
    fn take_dot(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(0), Some(Kind::Dot(next)) if next == word);
        self.next += usize::from(there);
        there
    }

    fn word(&mut self, needed: &str) -> Result<String, Error> {
        match self.peek(0).cloned() {
            Some(Kind::Word(word)) => {
                self.skip();
                Ok(word)
            }
            _ => Err(self.unexpected(needed)),
        }
    }

    /// Things with commas between them, up to a sign that is taken.
    fn list<T>(&mut self, end: &str, mut read: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        while !self.take_sign(end) {
            if !all.is_empty() {
                self.sign(",")?;
            }
            all.push(read(self)?);
        }
        Ok(all)
    }

    fn module(mut self) -> Result<Module, Error> {
        let mut module = Module {
            version: (0, 0),
            target: Vec::new(),
            address_size: 32,
            variables: Vec::new(),
            functions: Vec::new(),
        };
        while self.peek(0).is_some() {
            if self.take_dot("version") {
                module.version = self.version()?;
            } else if self.take_dot("target") {
                module.target = vec![self.word("a target")?];
                while self.take_sign(",") {
                    module.target.push(self.word("a target")?);
                }
            } else if self.take_dot("address_size") {
                module.address_size = u32::try_from(self.count()?).unwrap_or(0);
            } else if self.take_dot("file") {
                self.file()?;
            } else if self.take_dot("section") {
                self.section()?;
            } else if !self.take_sign(";") {
                self.item(&mut module)?;
            }
        }
        if module.version == (0, 0) || module.target.is_empty() {
            return Err(Error {
                line: 1,
                fault: Fault::Unexpected("a module without .version and .target".to_owned()),
            });
        }
        Ok(module)
    }

    /// `7.8`, which the lexer took for a fraction.
    fn version(&mut self) -> Result<(u32, u32), Error> {
        let Some(Kind::Number(syntax::Number::Double(bits))) = self.peek(0) else {
            return Err(self.unexpected("a version"));
        };
        let tenths = (f64::from_bits(*bits) * 10.0).round();
        self.skip();
        Ok((tenths as u32 / 10, tenths as u32 % 10))
    }

    /// `.file 1 "name", 0, 0`: for debuggers.
    fn file(&mut self) -> Result<(), Error> {
        self.count()?;
        match self.peek(0) {
            Some(Kind::Text(_)) => self.skip(),
            _ => return Err(self.unexpected("a file's name")),
        }
        while self.take_sign(",") {
            self.count()?;
        }
        Ok(())
    }

    /// `.section name { … }`: for debuggers.
    fn section(&mut self) -> Result<(), Error> {
        while self.peek(0).is_some() && !self.at_sign("{") {
            self.skip();
        }
        self.sign("{")?;
        while self.peek(0).is_some() && !self.at_sign("}") {
            self.skip();
        }
        self.sign("}")
    }

    /// A variable or a function.
    fn item(&mut self, module: &mut Module) -> Result<(), Error> {
        let linkage = self.linkage();
        if self.take_dot("entry") {
            module.functions.push(self.function(linkage, true)?);
        } else if self.take_dot("func") {
            module.functions.push(self.function(linkage, false)?);
        } else {
            module.variables.extend(self.variables(linkage)?);
        }
        Ok(())
    }

    fn linkage(&mut self) -> Linkage {
        let all = [
            ("visible", Linkage::Visible),
            ("weak", Linkage::Weak),
            ("extern", Linkage::Extern),
            ("common", Linkage::Common),
        ];
        let found = all.into_iter().find(|(word, _)| self.take_dot(word));
        found.map_or(Linkage::Internal, |(_, linkage)| linkage)
    }

    fn function(&mut self, linkage: Linkage, entry: bool) -> Result<Function, Error> {
        let results = if self.take_sign("(") { self.list(")", Self::parameter)? } else { Vec::new() };
        let line = self.line();
        let name = self.word("a function's name")?;
        let parameters = if self.take_sign("(") { self.list(")", Self::parameter)? } else { Vec::new() };
        let mut directives = Vec::new();
        while let Some(Kind::Dot(directive)) = self.peek(0).cloned() {
            self.skip();
            let mut numbers = Vec::new();
            if matches!(self.peek(0), Some(Kind::Number(_))) {
                numbers.push(self.count()?);
                while self.take_sign(",") {
                    numbers.push(self.count()?);
                }
            }
            directives.push((directive, numbers));
        }
        let body = if self.take_sign(";") {
            None
        } else {
            self.sign("{")?;
            Some(self.block()?)
        };
        Ok(Function { line, name, linkage, entry, results, parameters, directives, body })
    }
}
