/* Walking and relinking lists: pointer chasing. */
#include "rt.h"
struct node { struct node *next; u32 key; };
enum { N = 4000 };
static struct node pool[N];
unsigned bench(void)
{
    u32 s = 7, sum = 0;
    struct node *head = 0;
    for (int i = 0; i < N; i++) {
        u32 at = (u32)i * 2654435761u % N;
        while (pool[at].key) at = (at + 1) % N;
        pool[at].key = rt_random(&s) | 1;
        pool[at].next = head, head = &pool[at];
    }
    for (int round = 0; round < 5000; round++) {
        for (struct node *n = head; n; n = n->next) sum += n->key;
        if (round % 16 == 0) { /* reverse it */
            struct node *r = 0;
            while (head) {
                struct node *next = head->next;
                head->next = r, r = head, head = next;
            }
            head = r;
        }
    }
    return sum;
}
