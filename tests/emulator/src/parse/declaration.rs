//! Variables, registers and parameters, with their initial values.

use super::lexer::Kind;
use super::syntax::{Initial, Linkage, Space, Variable};
use super::{Error, Fault, Parser};

impl Parser {
    /// The space that comes next, if one does.
    pub(super) fn space(&mut self) -> Option<Space> {
        let spaces = [
            ("reg", Space::Reg),
            ("param", Space::Param),
            ("global", Space::Global),
            ("shared", Space::Shared),
            ("local", Space::Local),
            ("const", Space::Const),
        ];
        spaces.into_iter().find(|(word, _)| self.take_dot(word)).map(|(_, space)| space)
    }

    /// A parameter of a function, without a name in a prototype.
    pub(super) fn parameter(&mut self) -> Result<Variable, Error> {
        let (variable, _) = self.declared(Linkage::Internal)?;
        Ok(variable)
    }

    /// `.space .type a, b;`
    pub(super) fn variables(&mut self, linkage: Linkage) -> Result<Vec<Variable>, Error> {
        let (first, prefix) = self.declared(linkage)?;
        let mut all = vec![first];
        while self.take_sign(",") {
            let mut variable = prefix.clone();
            self.named(&mut variable)?;
            all.push(variable);
        }
        self.sign(";")?;
        Ok(all)
    }

    /// A variable, and what those after a comma have in common with it.
    fn declared(&mut self, linkage: Linkage) -> Result<(Variable, Variable), Error> {
        let line = self.line();
        let space = self.space().ok_or_else(|| self.unexpected("a directive"))?;
        let mut prefix = Variable {
            line,
            name: String::new(),
            linkage,
            space,
            ty: String::new(),
            vector: 1,
            align: None,
            count: None,
            dimensions: Vec::new(),
            initial: Vec::new(),
            pointer: None,
        };
        while let Some(Kind::Dot(word)) = self.peek(0).cloned() {
            self.skip();
            match word.as_str() {
                "align" => prefix.align = Some(self.count()?),
                "v2" => prefix.vector = 2,
                "v4" => prefix.vector = 4,
                "v8" => prefix.vector = 8,
                "ptr" => {
                    let space = self.space();
                    let align = if self.take_dot("align") { Some(self.count()?) } else { None };
                    prefix.pointer = Some((space, align));
                }
                ty if prefix.ty.is_empty() => prefix.ty = ty.to_owned(),
                _ => return Err(Error { line: self.line(), fault: Fault::Unexpected(format!(".{word}")) }),
            }
        }
        if prefix.ty.is_empty() {
            return Err(self.unexpected("a type"));
        }
        let mut variable = prefix.clone();
        self.named(&mut variable)?;
        Ok((variable, prefix))
    }

    /// The name of a variable and what is only its own.
    fn named(&mut self, variable: &mut Variable) -> Result<(), Error> {
        variable.line = self.line();
        variable.name = self.word("a name")?;
        if self.take_sign("<") {
            variable.count = Some(self.count_before_angle()?);
        }
        while self.take_sign("[") {
            if self.take_sign("]") {
                variable.dimensions.push(None);
            } else {
                variable.dimensions.push(Some(self.count()?));
                self.sign("]")?;
            }
        }
        if self.take_sign("=") {
            variable.initial = match self.initial()? {
                Initial::List(values) => values,
                value => vec![value],
            };
        }
        Ok(())
    }

    /// `3>`: the angle is no comparison.
    fn count_before_angle(&mut self) -> Result<u64, Error> {
        let Some(Kind::Number(super::syntax::Number::Int(count))) = self.peek(0) else {
            return Err(self.unexpected("a number of registers"));
        };
        let count = count.cast_unsigned();
        self.skip();
        self.sign(">")?;
        Ok(count)
    }

    fn initial(&mut self) -> Result<Initial, Error> {
        if self.take_sign("{") {
            return Ok(Initial::List(self.nested(|parser| parser.list("}", Self::initial))?));
        }
        let Some(Kind::Word(name)) = self.peek(0).cloned().filter(|kind| *kind != Kind::Word("WARP_SZ".to_owned()))
        else {
            return Ok(Initial::Number(self.number()?));
        };
        self.skip();
        let generic = name == "generic" && self.take_sign("(");
        let name = if generic { self.word("a variable")? } else { name };
        if generic {
            self.sign(")")?;
        }
        let offset = if self.at_sign("+") || self.at_sign("-") { self.offset()? } else { 0 };
        Ok(Initial::Address { name, offset, generic })
    }
}
