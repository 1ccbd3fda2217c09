//! PTX as a tree: what stands in a module, with names as written and lines for messages. Not here: what anything means.

/// A module, the text of one `cuModuleLoadData`.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Of the language, `(7, 8)`.
    pub version: (u32, u32),
    /// `sm_80` and further options.
    pub target: Vec<String>,
    /// 32 or 64 bits.
    pub address_size: u32,
    /// Variables of the module.
    pub variables: Vec<Variable>,
    /// Kernels and functions; a declaration has no body.
    pub functions: Vec<Function>,
}

/// Whether other modules see a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linkage {
    /// They do not.
    #[default]
    Internal,
    /// `.visible`
    Visible,
    /// `.weak`
    Weak,
    /// `.extern`: it is another module's, or shared memory whose size the launch gives.
    Extern,
    /// `.common`
    Common,
}

/// Where a variable lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// `.reg`
    Reg,
    /// `.param`
    Param,
    /// `.global`
    Global,
    /// `.shared`
    Shared,
    /// `.local`
    Local,
    /// `.const`
    Const,
}

/// A variable, a parameter, or as many registers as `count` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// The line of its name.
    pub line: usize,
    /// Its name, without the brackets of a list or the angle of registers.
    pub name: String,
    /// Who sees it.
    pub linkage: Linkage,
    /// Where it lives.
    pub space: Space,
    /// Its elements' type without the dot, as `u32`, `b8`, `pred`.
    pub ty: String,
    /// Elements of a vector: 1, 2 or 4.
    pub vector: usize,
    /// In bytes, where it is given.
    pub align: Option<u64>,
    /// `%r<3>` is three registers `%r0` to `%r2`; None for one of its own name.
    pub count: Option<u64>,
    /// Sizes of an array, the first None where the initial values or the launch say.
    pub dimensions: Vec<Option<u64>>,
    /// Values that it starts with, in order.
    pub initial: Vec<Initial>,
    /// Of a pointer parameter, `.ptr`: the space and the alignment that the caller promises.
    pub pointer: Option<(Option<Space>, Option<u64>)>,
}

/// A value in an initialiser.
#[derive(Clone, Debug, PartialEq)]
pub enum Initial {
    /// A number.
    Number(Number),
    /// The address of a variable or a function plus bytes; `generic`, of the generic space.
    Address {
        /// The variable.
        name: String,
        /// Bytes from its start.
        offset: i64,
        /// `generic(name)`
        generic: bool,
    },
    /// Values of a row of a further dimension.
    List(Vec<Initial>),
}

/// A number as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer, signed, of 64 bits.
    Int(i64),
    /// An integer, unsigned, of 64 bits: written with `U`, or too large for a signed one.
    Unsigned(u64),
    /// `0f…`, bit for bit.
    Single(u32),
    /// `0d…` bit for bit, or a decimal fraction.
    Double(u64),
}

/// A kernel or a function.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// The line of its name.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Who sees it.
    pub linkage: Linkage,
    /// `.entry`: it can be launched.
    pub entry: bool,
    /// What it returns.
    pub results: Vec<Variable>,
    /// What it takes.
    pub parameters: Vec<Variable>,
    /// Performance directives with their numbers, as `maxntid` and 128, 1, 1.
    pub directives: Vec<(String, Vec<u64>)>,
    /// None where it is declared only.
    pub body: Option<Vec<Statement>>,
}

/// What stands in a function's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// Registers or memory of the scope.
    Variable(Variable),
    /// A place to branch to.
    Label(String),
    /// Something to do.
    Instruction(Instruction),
    /// `name: .branchtargets a, b;` or `.calltargets`.
    Targets {
        /// The label.
        name: String,
        /// Labels, or functions.
        targets: Vec<String>,
    },
    /// `name: .callprototype (results) _ (parameters);`
    Prototype {
        /// The label.
        name: String,
        /// What it returns.
        results: Vec<Variable>,
        /// What it takes.
        parameters: Vec<Variable>,
    },
    /// A scope of its own.
    Block(Vec<Statement>),
}

/// An instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// Where it stands.
    pub line: usize,
    /// `@%p`, or `@!%p` with true.
    pub guard: Option<(String, bool)>,
    /// Its name without modifiers, as `ld`.
    pub name: String,
    /// The modifiers in order without their dots, as `global`, `nc`, `f32`, `L2::128B`.
    pub modifiers: Vec<String>,
    /// Operands, the destination first.
    pub operands: Vec<Operand>,
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A register, a variable, a label or a function, with bytes after it (`name+4`).
    Name {
        /// As written.
        name: String,
        /// Bytes added to an address.
        offset: i64,
    },
    /// `name.x`: a part of a vector register or of a special register.
    Part(String, char),
    /// `name.b0123`: the bytes or halves of a register that a video instruction takes.
    Fields(String, String),
    /// `[a, {b, c}]`: of a texture or a tensor where, and in which places.
    Places(Vec<Operand>),
    /// `!name`
    Not(String),
    /// A number.
    Number(Number),
    /// `[…]`
    Address {
        /// A register, a variable, or None where only a number stands.
        base: Option<String>,
        /// Bytes added.
        offset: i64,
    },
    /// `{a, b}`
    Vector(Vec<Operand>),
    /// `a|b`: a result and its predicate.
    Both(Box<Operand>, Box<Operand>),
    /// `(a, b)` of a call.
    List(Vec<Operand>),
    /// `_`: a result that is thrown away.
    Nothing,
}
