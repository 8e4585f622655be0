//! Parses tokens by recursive descent. The nesting depth is bounded, so no text overflows the stack.

use serde_json::Value;

use crate::{
    bounds::{MAX_BYTES, MAX_DEPTH, MAX_ITEMS},
    condition::{Condition, Kind, Operand, Text},
    error::QueryError,
    path::Path,
    query::Query,
    select::{Item, Select, SelectedValue},
    token::{Token, tokens},
    value::Comparison,
};

impl Query {
    /// Parses a query. An error says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() > MAX_BYTES {
            return Err(QueryError::too_much(None, format!("a query has at most {MAX_BYTES} bytes")));
        }
        let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.len() };
        let query = parser.query()?;
        check(&query)?;
        Ok(query)
    }
}

/// Words that begin the next part of a query, and so cannot be names.
const RESERVED: [&str; 11] = ["SELECT", "FROM", "WHERE", "GROUP", "ORDER", "AND", "OR", "NOT", "IN", "NIN", "AS"];

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
}

impl Parser {
    fn query(&mut self) -> Result<Query, QueryError> {
        self.keyword("SELECT")?;
        let top = if self.take_word("TOP") { Some(self.count()?) } else { None };
        let select = self.select()?;
        self.keyword("FROM")?;
        self.source()?;
        let condition = if self.take_word("WHERE") { Some(self.or(0)?) } else { None };
        let mut group = Vec::new();
        if self.take_word("GROUP") {
            self.keyword("BY")?;
            group = self.list(Self::path)?;
        }
        if self.is_word("ORDER") {
            return Err(self.wrong("ORDER BY is not supported: devices come in order of their ids"));
        }
        match self.peek() {
            Some(_) => Err(self.wrong("the query should end here")),
            None => Ok(Query { select, top, condition, group }),
        }
    }

    fn count(&mut self) -> Result<usize, QueryError> {
        let at = self.at();
        match self.take() {
            Some(Token::Constant(Value::Number(number))) => number.as_u64().and_then(|n| usize::try_from(n).ok()),
            _ => None,
        }
        .filter(|count| *count > 0)
        .ok_or_else(|| QueryError::at(at, "TOP needs a whole number above 0"))
    }

    fn select(&mut self) -> Result<Select, QueryError> {
        if self.take_sign("*") {
            return Ok(Select::All);
        }
        let mut column = 0;
        let items = self.list(|parser| {
            column += 1;
            parser.item(column)
        })?;
        Ok(Select::Items(items))
    }

    fn item(&mut self, column: usize) -> Result<Item, QueryError> {
        let function = self.function();
        let (what, name) = match function.as_deref() {
            Some("COUNT") => {
                self.sign("(")?;
                self.sign(")")?;
                (SelectedValue::Count, format!("${column}"))
            }
            Some(other) => return Err(self.wrong(&format!("{other}() cannot be selected; COUNT() can"))),
            None => {
                let path = self.path()?;
                let name = path.last().to_owned();
                (SelectedValue::Path(path), name)
            }
        };
        let name = if self.take_word("AS") { self.name()? } else { name };
        Ok(Item { what, name })
    }

    fn source(&mut self) -> Result<(), QueryError> {
        self.keyword("devices")?;
        if self.is_sign(".") {
            return Err(self.wrong("only devices can be queried: there are no modules and no jobs here"));
        }
        Ok(())
    }

    fn or(&mut self, depth: usize) -> Result<Condition, QueryError> {
        let mut any = vec![self.and(depth)?];
        while self.take_word("OR") {
            any.push(self.and(depth)?);
        }
        Ok(one_or(any, Condition::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Condition, QueryError> {
        let mut all = vec![self.not(depth)?];
        while self.take_word("AND") {
            all.push(self.not(depth)?);
        }
        Ok(one_or(all, Condition::And))
    }

    fn not(&mut self, depth: usize) -> Result<Condition, QueryError> {
        if depth > MAX_DEPTH {
            let what = format!("parentheses and NOT are nested deeper than {MAX_DEPTH}");
            return Err(QueryError::too_much(Some(self.at()), what));
        }
        if self.take_word("NOT") {
            return Ok(Condition::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take_sign("(") {
            let condition = self.or(depth + 1)?;
            self.sign(")")?;
            return Ok(condition);
        }
        if let Some(name) = self.function() {
            return self.call(&name);
        }
        self.comparison()
    }

    fn call(&mut self, name: &str) -> Result<Condition, QueryError> {
        let before = self.at();
        self.sign("(")?;
        let one = self.operand()?;
        let kind = match name {
            "IS_DEFINED" => Some(Kind::Defined),
            "IS_NULL" => Some(Kind::Null),
            "IS_BOOL" => Some(Kind::Bool),
            "IS_NUMBER" => Some(Kind::Number),
            "IS_STRING" => Some(Kind::String),
            "IS_OBJECT" => Some(Kind::Object),
            "IS_ARRAY" => Some(Kind::Array),
            "IS_PRIMITIVE" => Some(Kind::Primitive),
            _ => None,
        };
        let condition = match (kind, name) {
            (Some(kind), _) => Condition::Is(kind, one),
            (None, "STARTS_WITH" | "STARTSWITH") => Condition::Text(Text::StartsWith, one, self.second()?),
            (None, "ENDS_WITH" | "ENDSWITH") => Condition::Text(Text::EndsWith, one, self.second()?),
            (None, "CONTAINS") => Condition::Text(Text::Contains, one, self.second()?),
            (None, _) => return Err(QueryError::at(before, format!("there is no function {name} for conditions"))),
        };
        self.sign(")")?;
        Ok(condition)
    }

    fn second(&mut self) -> Result<Operand, QueryError> {
        self.sign(",")?;
        self.operand()
    }

    fn comparison(&mut self) -> Result<Condition, QueryError> {
        let one = self.operand()?;
        for (word, negated) in [("IN", false), ("NIN", true)] {
            if self.take_word(word) {
                self.sign("[")?;
                let list = self.list(Self::constant)?;
                self.sign("]")?;
                return Ok(Condition::In { operand: one, list, negated });
            }
        }
        let comparison = match self.peek() {
            Some(Token::Sign("=")) => Comparison::Equal,
            Some(Token::Sign("!=" | "<>")) => Comparison::NotEqual,
            Some(Token::Sign("<")) => Comparison::Less,
            Some(Token::Sign("<=")) => Comparison::LessOrEqual,
            Some(Token::Sign(">")) => Comparison::Greater,
            Some(Token::Sign(">=")) => Comparison::GreaterOrEqual,
            _ => return Ok(Condition::Value(one)),
        };
        self.next += 1;
        Ok(Condition::Compare(one, comparison, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, QueryError> {
        if self.take_word("undefined") {
            return Ok(Operand::Undefined);
        }
        match self.constant_if_any() {
            Some(value) => Ok(Operand::Constant(value)),
            None => self.path().map(Operand::Path),
        }
    }

    fn constant(&mut self) -> Result<Value, QueryError> {
        self.constant_if_any().ok_or_else(|| self.wrong("expected a text, a number, true, false or null"))
    }

    fn constant_if_any(&mut self) -> Option<Value> {
        if let Some(Token::Constant(value)) = self.peek() {
            let value = value.clone();
            self.next += 1;
            return Some(value);
        }
        let words = [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)];
        words.into_iter().find_map(|(word, value)| self.take_word(word).then_some(value))
    }

    fn path(&mut self) -> Result<Path, QueryError> {
        let at = self.at();
        if RESERVED.iter().any(|word| self.is_word(word)) {
            return Err(self.wrong("expected a property of devices"));
        }
        let mut names = vec![self.name()?];
        while self.take_sign(".") {
            names.push(self.name()?);
        }
        Path::new(names, at)
    }

    fn name(&mut self) -> Result<String, QueryError> {
        let at = self.at();
        match self.take() {
            Some(Token::Word(name) | Token::Quoted(name)) => Ok(name),
            _ => Err(QueryError::at(at, "expected a name")),
        }
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T, QueryError>) -> Result<Vec<T>, QueryError> {
        let mut items = vec![read(self)?];
        while self.take_sign(",") {
            if items.len() >= MAX_ITEMS {
                let what = format!("a list has more than {MAX_ITEMS} items");
                return Err(QueryError::too_much(Some(self.at()), what));
            }
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// Reads the name of a function, in upper case, if a function call begins here.
    fn function(&mut self) -> Option<String> {
        let Some((_, Token::Word(name))) = self.tokens.get(self.next) else { return None };
        let name = name.to_uppercase();
        let called = self.tokens.get(self.next + 1).is_some_and(|(_, token)| *token == Token::Sign("("));
        let called = called && !RESERVED.contains(&name.as_str());
        called.then(|| {
            self.next += 1;
            name
        })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek()?.clone();
        self.next += 1;
        Some(token)
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.next += usize::from(found);
        found
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.next += usize::from(found);
        found
    }

    fn keyword(&mut self, word: &str) -> Result<(), QueryError> {
        if self.take_word(word) { Ok(()) } else { Err(self.wrong(&format!("expected {word}"))) }
    }

    fn sign(&mut self, sign: &str) -> Result<(), QueryError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.wrong(&format!("expected {sign}"))) }
    }

    fn wrong(&self, what: &str) -> QueryError {
        QueryError::at(self.at(), what)
    }
}

fn one_or(mut conditions: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.pop() {
        Some(only) if conditions.is_empty() => only,
        Some(last) => {
            conditions.push(last);
            many(conditions)
        }
        None => many(conditions),
    }
}

/// Checks whether the parts of a query fit together; each part alone has been checked.
fn check(query: &Query) -> Result<(), QueryError> {
    let Select::Items(items) = &query.select else {
        return match query.group.is_empty() {
            true => Ok(()),
            false => Err(QueryError::whole("SELECT * does not go with GROUP BY: select its paths and COUNT()")),
        };
    };
    let mut names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    names.sort_unstable();
    if let Some(name) = names.windows(2).find_map(|pair| (pair.first() == pair.last()).then(|| pair.first())).flatten()
    {
        return Err(QueryError::whole(format!("two columns are called {name}: name one of them with AS")));
    }
    let counts = !query.group.is_empty() || items.iter().any(|item| item.what == SelectedValue::Count);
    let not_grouped =
        items.iter().find(|item| matches!(&item.what, SelectedValue::Path(path) if !query.group.contains(path)));
    match not_grouped.filter(|_| counts) {
        Some(item) => Err(QueryError::whole(format!("{} is selected beside COUNT(), and not in GROUP BY", item.name))),
        None => Ok(()),
    }
}
