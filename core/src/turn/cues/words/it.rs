//! Italian.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "mm, ^eh, ^beh, ^allora, ^dunque, ^insomma, ^ecco, cioè",
    open: "e, ed, o, oppure, ma, siccome, poiché, se, che, affinché, il, lo, la, i, gli, le, un, di, del, dello, \
        della, dei, degli, delle, a, al, allo, alla, ai, agli, alle, da, dal, dalla, dai, dalle, dallo, in, nel, \
        nello, nella, nei, nelle, negli, con, per, sul, sulla, sullo, sui, sulle, tra, fra, mi, ti, ci, vi, \
        si!dica/dico, non, presso, ogni, qualche, né",
    soft: "perché, quando, mentre, quindi, una!all, su, senza, è, c'è, il mio, la mia, i miei, le mie, il suo, \
        la sua, per esempio, ad esempio, diciamo, anche, ho, sono",
    phrases: "vorrei!sì/come/che/quello che, mi piacerebbe!sì/come, io voglio!che, volevo!che/come/lo, \
        ho bisogno di, avrei bisogno di, il mio numero è!qual, il mio numero di telefono è, il mio nome è, \
        mi chiamo, il mio indirizzo è, la mia email è, la mia mail è, il numero è!qual/qual è, ^un attimo, \
        ^un momento, ^un secondo, un attimo solo, un momento solo, ^aspetta, ^aspetti, aspetta un attimo, \
        aspetti un attimo, aspetti un momento, aspetta un momento, no aspetta, ^vediamo, vediamo un po', \
        fammi pensare, mi faccia pensare, fammi vedere, mi faccia vedere, mi lasci pensare, come si dice, \
        il problema è, il fatto è, la cosa è, volevo sapere se, volevo chiedere, sto cercando!che, cerco!che, \
        vale a dire, nel senso",
    closing: "grazie, grazie mille, arrivederci, arrivederla, ciao, buona giornata, buona serata, è tutto, \
        basta così, nient'altro, a presto, ho finito, a dopo, tutto qui, alla prossima",
    finals: "per favore, per piacere, per cortesia, o no, o meno, vero",
    answers: "sì, si, no, certo, certamente, esatto, esattamente, giusto, corretto, va bene, va benissimo, ok, \
        okay, d'accordo, perfetto, per favore, per piacere, grazie, grazie mille, assolutamente, non ancora, \
        credo di sì, credo di no, penso di sì, penso di no, forse, ovvio, ovviamente, come no, volentieri, \
        certo che sì, certo che no, benissimo, bene, signora, signore, direi di sì, direi di no, mai, infatti, \
        confermo, è corretto, è giusto",
    digits: "zero, un, uno, una, due, tre, quattro, cinque, sei, sette, otto, nove",
    twice: "doppio, doppia",
    thrice: "triplo",
    tens: "dieci, ~dici, dicia*, diciotto, dicianno*, vent*, trent*, quarant*, cinquant*, sessant*, settant*, \
        ottant*, novant*, cento*, ~cento, mille, ~mila",
    number_fill: "e, trattino, spazio, più",
    joints: "virgola!una, punto!un, trattino!un, barra!una, doppio, doppia",
    links: "come, di",
    at: "chiocciola, at",
    dot: "punto",
    ..UNIVERSAL
};
