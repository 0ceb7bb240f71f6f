//! English.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "um, ummm, er, err, ^well, ^so, ^like, ^mm, \
        you know!do/did/if/as/let/lets/would/should/don't/could/to/how, i mean!what/that's what",
    // Contracted verbs need what follows them; "yes it's" is no English.
    open: "and, or, but, because, although, unless, whereas, than, whether, if!as, until, including, the, a, an, \
        my, our, your, their, every, very, i'm, you're, he's, she's, it's, we're, they're, i've, you've, we've, \
        they've, i'd, you'd, he'd, she'd, we'd, they'd, i'll, you'll, he'll, she'll, it'll, we'll, they'll, \
        there's, that's, what's, where's, who's, here's, how's, let's!yes/yeah/ok/okay, \
        of!kind/sort/care/heard/made/think/thought/thinking, which, into, gonna, gotta, mr, mrs, such as, \
        as well as, even though, so that, mean that, think that",
    // Prepositions end questions and relative clauses.
    soft: "to, for, with, from, at, by, about, is, are, was, then, also, like, plus, maybe!yes/well, as, since, \
        when, where, for example, for instance, with my",
    phrases: "i would like!what/as/than/that, i'd like!what/as/than/that, i would like to, i'd like to, \
        i wanted to ask, i want to ask, i was wondering, my name is, my number is!what, my email is!what, \
        my address is!what, my email address is!what, number is!the/what/what the/my, i'm calling about, \
        i'm calling because, i'm calling for, i'm looking for!what, the thing is, the problem is!what/know what, \
        the reason is, the question is, what i mean is, what i want is, let me see!please, let me think, \
        let me check, let me look, hold on, hang on, one moment, one second, just a second, just a moment, \
        just a minute, wait a minute, wait a second, give me a second, give me a moment, give me a minute, ^wait, \
        oh wait, no wait, actually wait, how do you say, what do you call it, what's it called, could you!see if, \
        would you!what, can i!as/as soon as/all, could i!if, may i!if, area code is, as in, in order to, due to, \
        according to, because of, as soon as",
    closing: "that's it, that's all, that is it, that is all, that's everything, that'll be all, that will be all, \
        that would be all, that'd be all, i'm done, i am done, i'm finished, i am finished, nothing else, \
        thank you, thanks, thank you very much, thank you so much, thanks a lot, thanks so much, \
        thank you for your help, thanks for your help, bye, goodbye, have a nice day, have a good day, \
        have a good one, see you, see you later, talk to you later, go ahead, over to you, what do you think, \
        your turn, does that make sense",
    finals: "please, or not, or something, and so on",
    answers: "yes, yeah, yea, yep, yup, ya, no, nope, nah, ok, okay, sure, of course, absolutely, definitely, \
        certainly, correct, right, exactly, fine, alright, all right, not really, not at all, i do, i don't, i am, \
        i'm not, i did, i didn't, i have, i haven't, i can, i can't, i will, i won't, it is, it isn't, it's not, \
        it does, it doesn't, that's right, that's correct, that's fine, uh huh, mhm, mm hmm, mm hm, mhmm, uh uh, \
        please, sir, ma'am, thank you, thanks, thank you very much, i think so, i don't think so, i guess, \
        i guess so, i believe so, maybe, probably, sounds good, perfect, great, go ahead, sure thing, not yet, \
        never, you bet, oh, ^well",
    digits: "zero, nought, naught, o, oh, one, two, three, four, five, six, seven, eight, nine, niner",
    oh: "oh, o",
    twice: "double",
    thrice: "triple, treble",
    tens: "ten, eleven, twelve, thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, twenty, \
        thirty, forty, fourty, fifty, sixty, seventy, eighty, ninety, hundred, thousand",
    number_fill: "and, then, dash, hyphen, minus, space, plus, like, so",
    joints: "point, decimal, dash, hyphen, comma, slash, double, triple, treble, extension",
    links: "in, for, like",
    at: "at",
    dot: "dot, period",
    dot_com: "dotcom",
    ..UNIVERSAL
};
