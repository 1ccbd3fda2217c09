//! What stands in a body: scopes, labels, instructions and their operands.

use super::lexer::Kind;
use super::syntax::{Instruction, Operand, Statement};
use super::{Error, Parser};

/// Directives of a body that declare something.
const SPACES: &[&str] = &["reg", "param", "global", "shared", "local", "const"];

impl Parser {
    /// Statements up to the brace that closes them, which is taken.
    pub(super) fn block(&mut self) -> Result<Vec<Statement>, Error> {
        let mut statements = Vec::new();
        while !self.take_sign("}") {
            if self.take_sign("{") {
                let block = self.nested(Self::block)?;
                statements.push(Statement::Block(block));
            } else if !self.take_sign(";") {
                self.statement(&mut statements)?;
            }
        }
        Ok(statements)
    }

    fn statement(&mut self, statements: &mut Vec<Statement>) -> Result<(), Error> {
        match self.peek(0).cloned() {
            Some(Kind::Dot(word)) if SPACES.contains(&word.as_str()) || word == "extern" => {
                let linkage = self.linkage();
                statements.extend(self.variables(linkage)?.into_iter().map(Statement::Variable));
            }
            Some(Kind::Dot(word)) if word == "pragma" || word == "loc" => self.ignored(&word)?,
            Some(Kind::Word(name)) if self.peek(1) == Some(&Kind::Sign(":")) => {
                self.skip();
                self.skip();
                statements.push(self.labelled(name)?);
            }
            Some(Kind::Word(_) | Kind::Sign("@")) => statements.push(Statement::Instruction(self.instruction()?)),
            _ => return Err(self.unexpected("a statement")),
        }
        Ok(())
    }

    /// Hints and places in a source, which change nothing that is computed.
    fn ignored(&mut self, word: &str) -> Result<(), Error> {
        let line = self.line();
        self.skip();
        if word == "loc" {
            // up to the end of its line: file, line, column, and where it was inlined
            while self.peek(0).is_some() && self.line() == line {
                self.skip();
            }
            return Ok(());
        }
        self.list(";", |parser| match parser.peek(0) {
            Some(Kind::Text(_)) => {
                parser.skip();
                Ok(())
            }
            _ => Err(parser.unexpected("a pragma's text")),
        })?;
        Ok(())
    }

    /// What a label names.
    fn labelled(&mut self, name: String) -> Result<Statement, Error> {
        if self.take_dot("branchtargets") || self.take_dot("calltargets") {
            let targets = self.list(";", |parser| parser.word("a target"))?;
            return Ok(Statement::Targets { name, targets });
        }
        if self.take_dot("callprototype") {
            let results = if self.take_sign("(") { self.list(")", Self::parameter)? } else { Vec::new() };
            self.word("_")?;
            let parameters = if self.take_sign("(") { self.list(")", Self::parameter)? } else { Vec::new() };
            while let Some(Kind::Dot(_)) = self.peek(0) {
                self.skip(); // .noreturn and the like
            }
            self.sign(";")?;
            return Ok(Statement::Prototype { name, results, parameters });
        }
        Ok(Statement::Label(name))
    }

    fn instruction(&mut self) -> Result<Instruction, Error> {
        let line = self.line();
        let guard = if self.take_sign("@") {
            let negated = self.take_sign("!");
            Some((self.word("a predicate")?, negated))
        } else {
            None
        };
        let name = self.word("an instruction")?;
        let mut modifiers = Vec::new();
        while let Some(Kind::Dot(modifier)) = self.peek(0).cloned() {
            self.skip();
            modifiers.push(modifier);
        }
        let operands = self.list(";", Self::operand)?;
        Ok(Instruction { line, guard, name, modifiers, operands })
    }

    fn operand(&mut self) -> Result<Operand, Error> {
        let operand = self.single()?;
        if self.take_sign("|") {
            return Ok(Operand::Both(Box::new(operand), Box::new(self.single()?)));
        }
        Ok(operand)
    }

    fn single(&mut self) -> Result<Operand, Error> {
        if self.take_sign("{") {
            return Ok(Operand::Vector(self.list("}", Self::operand)?));
        }
        if self.take_sign("[") {
            return self.address();
        }
        // in a call a list of operands stands in parentheses; elsewhere they are an expression's
        if self.at_sign("(") && self.is_list() {
            self.skip();
            return Ok(Operand::List(self.list(")", Self::operand)?));
        }
        if self.at_sign("!") && matches!(self.peek(1), Some(Kind::Word(_))) {
            self.skip();
            return Ok(Operand::Not(self.word("a predicate")?));
        }
        match self.peek(0).cloned() {
            Some(Kind::Word(name)) if name == "_" => {
                self.skip();
                Ok(Operand::Nothing)
            }
            Some(Kind::Word(name)) if name != "WARP_SZ" => {
                self.skip();
                if let Some(Kind::Dot(part)) = self.peek(0).cloned() {
                    let one = part.chars().next().filter(|c| part.len() == 1 && "xyzwrgba".contains(*c));
                    let fields = part.strip_prefix(['b', 'h']).is_some_and(|fields| {
                        !fields.is_empty() && fields.bytes().all(|field| (b'0'..=b'7').contains(&field))
                    });
                    if one.is_none() && !fields {
                        return Err(self.unexpected("a part of a vector"));
                    }
                    self.skip();
                    return Ok(
                        one.map_or_else(|| Operand::Fields(name.clone(), part), |one| Operand::Part(name.clone(), one))
                    );
                }
                let offset = if self.at_sign("+") || self.at_sign("-") { self.offset()? } else { 0 };
                Ok(Operand::Name { name, offset })
            }
            Some(Kind::Number(_) | Kind::Word(_) | Kind::Sign("(" | "-" | "+" | "~" | "!")) => {
                Ok(Operand::Number(self.number()?))
            }
            _ => Err(self.unexpected("an operand")),
        }
    }

    /// Whether what stands in these parentheses are operands and no numbers.
    fn is_list(&self) -> bool {
        !matches!(self.peek(1), Some(Kind::Number(_) | Kind::Dot(_) | Kind::Sign("(" | "-" | "~" | "!" | "+")))
    }

    /// `name`, `name+4`, `4`, without the bracket that opens it.
    fn address(&mut self) -> Result<Operand, Error> {
        let base = match self.peek(0).cloned() {
            Some(Kind::Word(name)) => {
                self.skip();
                Some(name)
            }
            _ => None,
        };
        let offset = if base.is_some() && (self.at_sign("]") || self.at_sign(",")) { 0 } else { self.offset()? };
        let address = Operand::Address { base, offset };
        if self.take_sign(",") {
            let places = self.list("]", Self::operand)?;
            return Ok(Operand::Places([vec![address], places].concat()));
        }
        self.sign("]")?;
        Ok(address)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::super::syntax::{Number, Statement};
    use super::*;

    /// The only instruction of a kernel.
    fn instruction(text: &str) -> Instruction {
        let text = format!(".version 7.8 .target sm_80 .address_size 64 .entry k() {{ {text} }}");
        let module = super::super::parse(&text).unwrap();
        match &module.functions[0].body.as_deref().unwrap() {
            [Statement::Instruction(instruction)] => instruction.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn name(name: &str) -> Operand {
        Operand::Name { name: name.to_owned(), offset: 0 }
    }

    #[test]
    fn guards_modifiers_and_operands_are_told_apart() {
        let found = instruction("@!%p ld.global.nc.v2.f32 {%f0, _}, [%rd1+-8];");
        assert_eq!(found.guard, Some(("%p".to_owned(), true)));
        assert_eq!((found.name.as_str(), found.modifiers.join(" ").as_str()), ("ld", "global nc v2 f32"));
        let address = Operand::Address { base: Some("%rd1".to_owned()), offset: -8 };
        assert_eq!(found.operands, [Operand::Vector(vec![name("%f0"), Operand::Nothing]), address]);
        let found = instruction("setp.lt.and.s32 %p|%q, %tid.x, -3, !%r;");
        let both = Operand::Both(Box::new(name("%p")), Box::new(name("%q")));
        let number = Operand::Number(Number::Int(-3));
        assert_eq!(
            found.operands,
            [both, Operand::Part("%tid".to_owned(), 'x'), number, Operand::Not("%r".to_owned())]
        );
    }

    #[test]
    fn a_call_has_lists_and_an_expression_is_computed() {
        let found = instruction("call.uni (%r0), f, (%r1, 7, %p), proto;");
        let seven = Operand::Number(Number::Int(7));
        let lists = [Operand::List(vec![name("%r0")]), Operand::List(vec![name("%r1"), seven, name("%p")])];
        assert_eq!(found.operands, [lists[0].clone(), name("f"), lists[1].clone(), name("proto")]);
        let found = instruction("add.u32 %r, %r, (3 << 4) + 7 * 2 - !1;");
        assert_eq!(found.operands[2], Operand::Number(Number::Int(62)));
        assert_eq!(instruction("mov.f32 %f, -0f3F800000;").operands[1], Operand::Number(Number::Single(0xBF80_0000)));
        assert_eq!(instruction("mov.u64 %x, a+12;").operands[1], Operand::Name { name: "a".to_owned(), offset: 12 });
        assert_eq!(instruction("st.b32 [16], 1 ? 2 : 3;").operands[0], Operand::Address { base: None, offset: 16 });
    }

    #[test]
    fn what_is_no_statement_is_an_error_with_its_line() {
        let error = |body: &str| {
            let text = format!(".version 7.8\n.target sm_80\n.entry k() {{\n{body}\n}}");
            super::super::parse(&text).unwrap_err().to_string()
        };
        assert_eq!(error("ret"), "line 5: } where an operand is needed");
        assert_eq!(error("add.u32 %a %b;"), "line 4: %b where , is needed");
        assert_eq!(error("add.u32 %r, [a;"), "line 4: ; where a number is needed");
        assert_eq!(error(".branch a;"), "line 4: .branch where a statement is needed");
        assert_eq!(error("mov.u32 %r, 1 / 0;"), "line 4: a division by zero is not expected here");
        assert!(error("{ ret;").ends_with("the end where a statement is needed"));
    }
}
